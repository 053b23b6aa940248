#include "gateway/api/account_routes.hpp"

#include "gateway/http/bounded_json.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <optional>

namespace ovir::gateway {

namespace {

constexpr std::string_view account_path = "/v1/account";
constexpr std::string_view account_statement_path = "/v1/account/statement";

json account_json(const budget_report& b) {
  return {{"object", "account"},
          {"account", to_hex(b.account)},
          {"voucher", to_hex(b.voucher)},
          {"limit", b.limit},
          {"spent", b.spent},
          {"reserved", b.reserved},
          {"left", b.left()},
          {"expires", b.expires},
          {"revoked", b.revoked},
          {"here", b.may_reserve},
          {"balance", b.free},
          {"time", b.time}};
}

json request_json(const budget_request& r) {
  return {{"object", "account.request"},
          {"request", to_hex(r.request)},
          {"entry", r.entry},
          {"time", r.time},
          {"scheduler", to_hex(r.scheduler)},
          {"open", r.open},
          {"prompt_tokens", r.prompt},
          {"completion_tokens", r.completion},
          {"reserved", r.reserved},
          {"spent", r.spent}};
}

json statement_json(const budget_statement& page) {
  json list = json::array();
  for (const budget_request& r : page.requests) {
    list.push_back(request_json(r));
  }
  return {{"object", "list"},
          {"data", std::move(list)},
          {"has_more", page.more},
          {"next", page.more ? json(page.next) : json(nullptr)}};
}

/// "from=17", or nothing: the first. None where it is something else.
std::optional<std::uint64_t> first_entry(std::string_view query) {
  constexpr std::string_view name = "from=";
  std::uint64_t first = 0;
  if (query.empty()) {
    return first;
  }
  const std::string_view digits = query.starts_with(name) ? query.substr(name.size()) : "";
  const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), first);
  return !digits.empty() && wrong == std::errc{} && end == digits.data() + digits.size()
             ? std::optional{first}
             : std::nullopt;
}

} // namespace

bool account_routes::serves(std::string_view path) {
  return path == account_path || path == account_statement_path;
}

void account_routes::show(const http_request& request, const api_key& key,
                          const std::shared_ptr<http_exchange>& exchange) {
  const auto refuse = [&](const api_error& why) { exchange->reply(replies_.answer_of(why)); };
  const auto use = budget_of(key);
  if (!use) {
    return refuse(refusal(404, "no_voucher",
                          "this API key has no voucher: the node's account pays for its requests"));
  }
  std::optional<std::uint64_t> from;
  if (request.path == account_statement_path) {
    from = first_entry(request.query);
    if (!from) {
      return refuse(bad_parameter("from", "the query of a statement is 'from=ENTRY', or none"));
    }
  } else if (!request.query.empty()) {
    return refuse(bad_parameter({}, "this path has no query"));
  }
  if (asked_->load() >= limits::account_questions_max) {
    return refuse(
        refusal(503, "overloaded",
                fmt::format("{} questions about accounts are under way, as many as may be",
                            asked_->load())));
  }
  asked_->fetch_add(1);
  const std::shared_ptr<void> counted{nullptr, [all = asked_](void*) { all->fetch_sub(1); }};
  const auto gone = std::make_shared<bool>(false);
  exchange->when_gone([gone] { *gone = true; });
  around_.engine->show_budget(
      *use, from,
      [this, exchange, gone, from, key_name = use->key, counted](const result<budget_view>& told) {
        (void)counted;
        if (*gone) {
          return;
        }
        if (!told) {
          return exchange->reply(replies_.answer_of(from_error(told.error())));
        }
        if (!told->now.known || told->now.key != key_name) {
          return exchange->reply(replies_.answer_of(refusal(
              404, "unknown_voucher",
              "the ledger has no voucher for this API key; it is over, or was never made")));
        }
        exchange->reply(replies_.counted(
            document(from ? statement_json(told->page) : account_json(told->now))));
      });
}

} // namespace ovir::gateway
