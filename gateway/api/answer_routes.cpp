#include "gateway/api/answer_routes.hpp"

#include "messages/limits/addenda.hpp"

#include <fmt/format.h>

namespace ovir::gateway {

namespace {

api_error no_receipt() {
  return refusal(404, "unknown_receipt",
                 "this node has no receipt of such an answer; it keeps the latest ones, of its own "
                 "requests");
}

api_error refusal_of(const error& why) {
  switch (why.code) {
  case errc::not_found: return no_receipt();
  case errc::over_limit: return refusal(413, "receipt_too_large", why.message);
  default: return refusal(502, "receipt_unreadable", why.message);
  }
}

} // namespace

void answer_routes::show(const api_key& key, std::string_view what,
                         const std::shared_ptr<http_exchange>& exchange) {
  constexpr std::string_view verdict = "/verdict";
  constexpr std::string_view addenda = "/addenda";
  if (what.ends_with(verdict)) {
    return show_verdict(key, what.substr(0, what.size() - verdict.size()), exchange);
  }
  if (what.ends_with(addenda)) {
    return show_addenda(key, what.substr(0, what.size() - addenda.size()), exchange);
  }
  exchange->reply(show_receipt(key, what));
}

http_reply answer_routes::show_receipt(const api_key& key, std::string_view name) {
  const auto id = request_id_from(name);
  const std::vector<std::byte>* const bytes = id ? calls_.receipts().find({key.id, *id}) : nullptr;
  if (bytes == nullptr) {
    return replies_.answer_of(
        refusal(404, "unknown_receipt",
                "this node has no receipt of such an answer; it keeps the latest ones "
                "of requests with \"receipt\": true"));
  }
  http_reply reply;
  reply.content_type = "application/octet-stream";
  reply.body.assign(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  return replies_.counted(std::move(reply));
}

/// Signatures take a while: on another thread. `make` does it there and gives the reply.
void answer_routes::reply_elsewhere(const std::shared_ptr<http_exchange>& exchange,
                                    std::function<api_result<http_reply>()> make) {
  if (checks_ >= limits::answer_checks_max) {
    return exchange->reply(replies_.answer_of(
        refusal(503, "overloaded",
                fmt::format("{} answers are being checked, as many as may be", checks_))));
  }
  ++checks_;
  const auto gone = std::make_shared<bool>(false);
  exchange->when_gone([gone] { *gone = true; });
  const auto made = std::make_shared<api_result<http_reply>>();
  around_.elsewhere([made, make = std::move(make)] { *made = make(); },
                    [this, made, exchange, gone] {
                      --checks_;
                      if (*gone) {
                        return;
                      }
                      const auto* const refused = std::get_if<api_error>(made.get());
                      exchange->reply(refused != nullptr
                                          ? replies_.answer_of(*refused)
                                          : replies_.counted(std::get<http_reply>(*made)));
                    });
}

void answer_routes::show_verdict(const api_key& key, std::string_view name,
                                 const std::shared_ptr<http_exchange>& exchange) {
  const auto id = request_id_from(name);
  if (!id || !around_.check_answer) {
    return exchange->reply(replies_.answer_of(no_receipt()));
  }
  reply_elsewhere(exchange,
                  [check = around_.check_answer, id = *id,
                   cluster = name_in_cluster(owner_of(key), *id),
                   receipt = calls_.receipts().share({key.id, *id}),
                   seen = calls_.times().find({key.id, *id})]() -> api_result<http_reply> {
                    const auto found = check(cluster, receipt);
                    if (!found) {
                      return refusal_of(found.error());
                    }
                    return document(json_of(*found, id, seen));
                  });
}

void answer_routes::show_addenda(const api_key& key, std::string_view name,
                                 const std::shared_ptr<http_exchange>& exchange) {
  const auto id = request_id_from(name);
  if (!id || !around_.addenda_of) {
    return exchange->reply(replies_.answer_of(no_receipt()));
  }
  reply_elsewhere(exchange,
                  [addenda_of = around_.addenda_of, cluster = name_in_cluster(owner_of(key), *id),
                   receipt = calls_.receipts().share({key.id, *id})]() -> api_result<http_reply> {
                    const auto bytes = addenda_of(cluster, receipt);
                    if (!bytes) {
                      return refusal_of(bytes.error());
                    }
                    http_reply reply;
                    reply.content_type = "application/octet-stream";
                    reply.body.assign(reinterpret_cast<const char*>(bytes->data()), bytes->size());
                    return reply;
                  });
}

} // namespace ovir::gateway
