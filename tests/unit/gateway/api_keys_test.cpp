#include "gateway/access/api_key_file.hpp"
#include "gateway/access/key_budget.hpp"
#include "messages/limits/gateway.hpp"
#include "storage/env/memory_env.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

using namespace std::chrono_literals;

std::array<std::byte, 32> bytes_of(unsigned char first) {
  std::array<std::byte, 32> bytes{};
  bytes[0] = std::byte{first};
  return bytes;
}

api_key named(const std::string& name) {
  api_key key;
  key.name = name;
  return key;
}

struct two_keys {
  hash_key with = bytes_of(9);
  api_key_table table;
  std::string ann = table.add(named("ann"), bytes_of(1), with).value();
  std::string bob = table.add(named("bob"), bytes_of(2), with).value();
};

TEST(api_keys, a_key_opens_what_it_was_made_for_and_nothing_near_it_does) {
  two_keys k;
  ASSERT_NE(k.table.find(k.ann, k.with), nullptr);
  EXPECT_EQ(k.table.find(k.ann, k.with)->name, "ann");
  EXPECT_EQ(k.table.find(k.bob, k.with)->name, "bob");
  EXPECT_EQ(k.table.find(k.ann, bytes_of(8)), nullptr) << "hashed with another key";
  for (std::size_t i = 0; i < k.ann.size(); ++i) {
    for (const int bit : {0, 1, 5}) {
      std::string near = k.ann;
      near[i] = static_cast<char>(near[i] ^ (1 << bit));
      const api_key* const found = k.table.find(near, k.with);
      EXPECT_EQ(found, nullptr) << near;
    }
  }
  for (const std::string& wrong : {std::string{}, k.ann + "A", k.ann.substr(0, k.ann.size() - 1),
                                   std::string{"sk-ovir-"}, k.ann.substr(8)}) {
    EXPECT_EQ(k.table.find(wrong, k.with), nullptr);
  }
}

TEST(api_keys, a_revoked_key_opens_nothing) {
  two_keys k;
  ASSERT_TRUE(k.table.revoke("ann", 5));
  EXPECT_EQ(k.table.find(k.ann, k.with), nullptr);
  EXPECT_NE(k.table.find(k.bob, k.with), nullptr);
  EXPECT_EQ(k.table.revoke("carl", 5).error().code, errc::not_found);
}

TEST(api_keys, the_file_has_no_key_and_reads_as_it_was_written) {
  two_keys k;
  ASSERT_TRUE(k.table.revoke(k.table.keys()[1].id, 77));
  api_key strict = named("strict");
  strict.reveal = reveal_when::after;
  strict.privacy = privacy_mode::ends;
  ASSERT_TRUE(k.table.add(strict, bytes_of(3), k.with));
  const std::string text = k.table.text();
  EXPECT_EQ(text.find(k.ann.substr(8)), std::string::npos);
  const auto again = api_key_table::parse(text);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->keys(), k.table.keys());
  EXPECT_EQ(again->keys()[2].reveal, reveal_when::after);
  EXPECT_EQ(again->keys()[2].privacy, privacy_mode::ends);
  std::string older = k.table.text(); // of a version that did not know it
  for (std::size_t at = 0; (at = older.find("\"reveal\"")) != older.npos;) {
    older.erase(at, older.find('"', older.find(',', at)) - at);
  }
  const auto read = api_key_table::parse(older);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->keys()[2].reveal, reveal_when::at_once);
}

TEST(api_keys, two_keys_of_one_name_are_refused) {
  two_keys k;
  EXPECT_FALSE(k.table.add(named("ann"), bytes_of(3), k.with));
  EXPECT_FALSE(k.table.add(named("ann b"), bytes_of(3), k.with));
  EXPECT_FALSE(k.table.add(named(""), bytes_of(3), k.with));
}

TEST(api_keys, a_damaged_file_is_refused_and_says_where) {
  two_keys k;
  const std::string text = k.table.text();
  for (const auto& [what, with] :
       std::vector<std::pair<std::string, std::string>>{{"\"version\": 1", "\"version\": 2"},
                                                        {"\"infer\"", "\"all\""},
                                                        {"\"created\": 0", "\"created\": -1"},
                                                        {"\"name\": \"bob\"", "\"name\": \"ann\""},
                                                        {"\"at_once\"", "\"never\""},
                                                        {"\"hash\"", "\"hush\""}}) {
    std::string wrong = text;
    ASSERT_NE(wrong.find(what), std::string::npos) << what;
    wrong.replace(wrong.find(what), what.size(), with);
    const auto read = api_key_table::parse(wrong);
    ASSERT_FALSE(read) << with;
    EXPECT_FALSE(read.error().message.empty());
  }
}

constexpr key_budget::time_point start{};

TEST(key_budget, begins_as_many_requests_a_minute_as_the_key_says) {
  key_budget budget;
  api_key key = named("ann");
  key.requests_per_minute = 2;
  EXPECT_FALSE(budget.begin(key, start));
  EXPECT_FALSE(budget.begin(key, start));
  const auto refused = budget.begin(key, start + 1s);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 429);
  ASSERT_TRUE(refused->retry_after);
  EXPECT_EQ(*refused->retry_after, 29s);
  EXPECT_FALSE(budget.begin(key, start + 30s));
}

TEST(key_budget, bounds_requests_under_way) {
  key_budget budget;
  api_key key = named("ann");
  key.concurrent = 2;
  EXPECT_FALSE(budget.begin(key, start));
  EXPECT_FALSE(budget.begin(key, start));
  EXPECT_TRUE(budget.begin(key, start));
  budget.end(key.id);
  EXPECT_FALSE(budget.begin(key, start));
}

TEST(key_budget, holds_a_quota_to_the_token_under_requests_side_by_side) {
  key_budget budget;
  api_key key = named("ann");
  key.id = "a";
  key.tokens_per_day = 1'000;
  std::uint64_t accepted = 0;
  for (int i = 0; i < 64; ++i) { // each may cost 30, and costs 10
    accepted += budget.reserve(key, 30, 50) ? 0 : 1;
  }
  EXPECT_EQ(accepted, 33U);
  for (std::uint64_t i = 0; i < accepted; ++i) {
    budget.settle(key.id, 0, 30, 10);
  }
  EXPECT_EQ(budget.spent(key.id, 0), 330U);
  EXPECT_FALSE(budget.reserve(key, 670, 60)) << "to the token";
  const auto refused = budget.reserve(key, 1, 86'000);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, "insufficient_quota");
  EXPECT_EQ(*refused->retry_after, 400s);
  EXPECT_FALSE(budget.reserve(key, 1'000, 86'400)) << "the next day";
  budget.settle(key.id, 0, 670, 0); // yesterday's gives nothing back today
  EXPECT_TRUE(budget.reserve(key, 1, 86'400));
}

} // namespace
} // namespace ovir::gateway
