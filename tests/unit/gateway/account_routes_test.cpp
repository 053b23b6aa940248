// API keys that pay by vouchers: their file, their requests, and what they learn of their budget.
#include "gateway/http/bounded_json.hpp"
#include "messages/limits/gateway.hpp"
#include "tests/unit/gateway/made_up_endpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::gateway {
namespace {

using testing::HasSubstr;

class voucher_keys : public endpoint {
protected:
  static digest named(std::uint8_t number) {
    digest d;
    d.bytes.fill(number);
    return d;
  }
  /// A new key with this voucher, and nothing else known.
  void use_key(std::optional<digest> voucher, std::uint64_t tokens_per_day = 0) {
    api_options options;
    options.keys_needed = true;
    restart(options);
    api_key key;
    key.name = "ann";
    key.voucher = voucher;
    key.tokens_per_day = tokens_per_day;
    known_keys keys;
    const std::array<std::byte, 32> secret{};
    const std::string text = keys.table.add(key, secret, keys.with).value();
    key_ = keys.table.keys().front();
    app_->use_keys(keys);
    field_ = {{"authorization", "Bearer " + text}};
  }
  std::shared_ptr<made_up_exchange> get(const std::string& path, const std::string& query = "") {
    http_request request;
    request.method = "GET";
    request.path = path;
    request.query = query;
    request.fields = field_;
    auto exchange = std::make_shared<made_up_exchange>();
    app_->serve(std::move(request), exchange);
    return exchange;
  }
  [[nodiscard]] budget_report report() const {
    budget_report b;
    b.known = true;
    b.voucher = named(7);
    b.account.key.fill(1);
    b.key = name_in_ledger(key_);
    b.limit = 100;
    b.reserved = 30;
    b.spent = 20;
    b.expires = 1'800'000'000;
    b.may_reserve = true;
    b.free = 5;
    b.time = 1'700'000'000;
    return b;
  }
  static std::string code_of(const std::shared_ptr<made_up_exchange>& e) {
    return json::parse(e->head.body)["error"]["code"];
  }

  api_key key_;
  std::map<std::string, std::string, std::less<>> field_;
};

TEST_F(voucher_keys, are_in_the_file_as_they_were_made) {
  for (const auto& voucher :
       {std::optional<digest>{}, std::optional{digest{}}, std::optional{named(7)}}) {
    use_key(voucher);
    known_keys keys;
    api_key key = key_;
    const std::array<std::byte, 32> secret{};
    (void)keys.table.add(key, secret, keys.with).value();
    const auto read = api_key_table::parse(keys.table.text());
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->keys()[0].voucher, voucher);
  }
  known_keys keys;
  (void)keys.table.add(key_, std::array<std::byte, 32>{}, keys.with).value();
  std::string text = keys.table.text();
  const std::string good = to_hex(named(7));
  for (const std::string& bad : {std::string{"leger"}, std::string{"07"}, std::string(64, '0')}) {
    std::string changed = text;
    changed.replace(changed.find(good), good.size(), bad);
    const auto read = api_key_table::parse(changed);
    ASSERT_FALSE(read) << bad;
    EXPECT_THAT(read.error().message, HasSubstr("voucher"));
  }
}

TEST_F(voucher_keys, send_their_budget_with_each_request_and_are_counted_by_no_gateway) {
  use_key(digest{}, 10); // tokens a day
  const std::string body = R"({"model": "m", "prompt": [5, 6], "max_tokens": 20, "n": 2})";
  const auto first = ask(body, "/v1/completions", field_);
  EXPECT_EQ(first->head.status, 0) << "it runs: " << first->head.body;
  ASSERT_EQ(cluster_.started.size(), 2U);
  for (const auto& one : cluster_.started) {
    EXPECT_EQ(one.order.budget, (budget_use{name_in_ledger(key_), {}}));
  }
  use_key({}, 1'000);
  (void)ask(body, "/v1/completions", field_);
  EXPECT_EQ(cluster_.started.back().order.budget, std::nullopt) << "the node pays";
}

TEST_F(voucher_keys, without_budget_left_get_the_answer_of_a_quota) {
  use_key(named(7));
  const auto asked =
      ask(R"({"model": "m", "prompt": [5], "max_tokens": 20})", "/v1/completions", field_);
  EXPECT_EQ(cluster_.started[0].order.budget->voucher, named(7));
  app_->calls().on_end(tag(), fail(errc::over_limit, "it has 3 of its 100 left until 1800"));
  EXPECT_EQ(asked->head.status, 429);
  EXPECT_EQ(code_of(asked), "insufficient_quota");
  EXPECT_THAT(asked->head.body, HasSubstr("has 3 of its 100 left until 1800"));
  EXPECT_EQ(json::parse(asked->head.body)["error"]["type"], "rate_limit_error");
}

TEST_F(voucher_keys, learn_what_is_left) {
  use_key(digest{});
  const auto asked = get("/v1/account");
  ASSERT_EQ(cluster_.budgets.size(), 1U);
  EXPECT_EQ(cluster_.budgets[0].use, (budget_use{name_in_ledger(key_), {}}));
  EXPECT_EQ(cluster_.budgets[0].from, std::nullopt);
  EXPECT_FALSE(asked->ended);
  cluster_.budgets[0].done(budget_view{report(), {}});
  ASSERT_EQ(asked->head.status, 200) << asked->head.body;
  const json told = json::parse(asked->head.body);
  EXPECT_EQ(told["voucher"], to_hex(named(7)));
  EXPECT_EQ(told["limit"], 100);
  EXPECT_EQ(told["spent"], 20);
  EXPECT_EQ(told["reserved"], 30);
  EXPECT_EQ(told["left"], 50);
  EXPECT_EQ(told["expires"], 1'800'000'000);
  EXPECT_EQ(told["revoked"], false);
  EXPECT_EQ(told["balance"], 5);
}

TEST_F(voucher_keys, learn_what_each_request_cost_page_by_page) {
  use_key(named(7));
  const auto asked = get("/v1/account/statement", "from=17");
  ASSERT_EQ(cluster_.budgets.size(), 1U);
  EXPECT_EQ(cluster_.budgets[0].from, 17U);
  budget_statement page{named(7), true, 40, {}};
  page.requests.push_back({named(9), 17, 1'700'000'000, {}, false, 3, 16, 40, 19});
  cluster_.budgets[0].done(budget_view{report(), page});
  ASSERT_EQ(asked->head.status, 200) << asked->head.body;
  const json told = json::parse(asked->head.body);
  EXPECT_EQ(told["has_more"], true);
  EXPECT_EQ(told["next"], 40);
  ASSERT_EQ(told["data"].size(), 1U);
  EXPECT_EQ(told["data"][0]["prompt_tokens"], 3);
  EXPECT_EQ(told["data"][0]["completion_tokens"], 16);
  EXPECT_EQ(told["data"][0]["spent"], 19);
  (void)get("/v1/account/statement");
  EXPECT_EQ(cluster_.budgets.back().from, 0U);
  for (const char* const wrong :
       {"from=", "from=x", "from=1x", "first=1", "from=-1", "from=99999999999999999999"}) {
    EXPECT_EQ(get("/v1/account/statement", wrong)->head.status, 400) << wrong;
  }
  EXPECT_EQ(get("/v1/account", "from=1")->head.status, 400);
}

TEST_F(voucher_keys, learn_nothing_of_what_is_not_theirs) {
  use_key({});
  EXPECT_EQ(code_of(get("/v1/account")), "no_voucher");
  EXPECT_TRUE(cluster_.budgets.empty());
  use_key(named(7));
  const auto other = get("/v1/account");
  budget_report of_another = report();
  of_another.key = named(3);
  cluster_.budgets[0].done(budget_view{of_another, {}});
  EXPECT_EQ(code_of(other), "unknown_voucher") << "the file names a voucher for another key";
  const auto unknown = get("/v1/account");
  cluster_.budgets[1].done(budget_view{});
  EXPECT_EQ(unknown->head.status, 404);
  field_.clear();
  EXPECT_EQ(get("/v1/account")->head.status, 401);
  EXPECT_EQ(ask("", "/v1/account", {})->head.status, 405);
}

TEST_F(voucher_keys, have_so_many_questions_under_way) {
  use_key(named(7));
  for (std::size_t i = 0; i < limits::account_questions_max; ++i) {
    EXPECT_FALSE(get("/v1/account")->ended);
  }
  EXPECT_EQ(get("/v1/account")->head.status, 503);
  cluster_.budgets.pop_back(); // lost with the actor that asked
  const auto more = get("/v1/account");
  EXPECT_FALSE(more->ended);
  cluster_.budgets.back().done(fail(errc::peer_lost, "the keeper cannot be reached"));
  EXPECT_EQ(more->head.status, 503);
  more->on_gone();
}

} // namespace
} // namespace ovir::gateway
