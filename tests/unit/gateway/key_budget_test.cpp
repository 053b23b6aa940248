#include "gateway/access/key_budget.hpp"

#include <gmock/gmock.h>

namespace ovir::gateway {
namespace {

using namespace std::chrono_literals;
using time_point = key_budget::time_point;

constexpr std::uint64_t today = 20'000 * std::uint64_t{86'400} + 5;

api_key ann() {
  api_key key;
  key.id = "0123456789abcdef";
  key.tokens_per_day = 640;
  return key;
}

/// What the next life of the process knows.
key_budget after(key_budget& before, bool ahead, std::uint64_t when = today) {
  key_budget next;
  const spend_record kept = before.record(ahead, time_point{}, today);
  EXPECT_EQ(spend_from(text_of(kept)).value(), kept);
  next.restore(kept, when);
  return next;
}

TEST(key_budget, is_known_to_the_next_life) {
  key_budget first;
  EXPECT_FALSE(first.is_behind());
  EXPECT_FALSE(first.reserve(ann(), 600, today));
  EXPECT_TRUE(first.is_behind()) << "it was spent and is not kept";
  key_budget second = after(first, false);
  EXPECT_TRUE(second.reserve(ann(), 41, today));
  EXPECT_FALSE(second.reserve(ann(), 40, today));
  key_budget tomorrow = after(second, false, today + 86'400);
  EXPECT_FALSE(tomorrow.reserve(ann(), 640, today + 86'400));
}

TEST(key_budget, is_kept_ahead_so_that_few_requests_wait_and_none_is_forgotten) {
  key_budget budget;
  EXPECT_FALSE(budget.reserve(ann(), 100, today));
  key_budget killed = after(budget, true);
  EXPECT_EQ(killed.spent(ann().id, key_budget::day_of(today)), 110U);
  EXPECT_FALSE(budget.reserve(ann(), 10, today));
  EXPECT_FALSE(budget.is_behind());
  EXPECT_FALSE(budget.reserve(ann(), 1, today));
  EXPECT_TRUE(budget.is_behind());
  (void)budget.record(false, time_point{}, today);
  EXPECT_FALSE(budget.has_changed());
}

TEST(key_budget, a_rate_is_given_back_within_a_minute_and_not_by_a_restart) {
  api_key key = ann();
  key.requests_per_minute = 2;
  key_budget budget;
  EXPECT_FALSE(budget.begin(key, time_point{}));
  EXPECT_FALSE(budget.begin(key, time_point{}));
  key_budget at_once = after(budget, false);
  EXPECT_TRUE(at_once.begin(key, time_point{} + 1h));
  key_budget later = after(budget, false, today + 60);
  EXPECT_FALSE(later.begin(key, time_point{} + 1h));
  key_budget clock_went_back = after(budget, false, today - 60);
  EXPECT_TRUE(clock_went_back.begin(key, time_point{} + 1h));
}

TEST(key_budget, a_day_of_which_nothing_is_known_is_closed_for_keys_with_a_quota) {
  key_budget budget;
  budget.close_day(today);
  key_budget next = after(budget, false);
  for (key_budget* const life : {&budget, &next}) {
    EXPECT_TRUE(life->reserve(ann(), 1, today));
    api_key free = ann();
    free.tokens_per_day = 0;
    EXPECT_FALSE(life->reserve(free, 1, today));
    EXPECT_FALSE(life->reserve(ann(), 1, today + 86'400));
  }
}

TEST(key_spend, that_is_not_what_was_written_is_refused) {
  const spend_record record{
      7, {{"0123456789abcdef", 20'000, 42, 1'500, 99}, {"1123456789abcdef", 20'000, 0, 0, 0}}};
  const std::string text = text_of(record);
  EXPECT_EQ(spend_from(text).value(), record);
  for (std::size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = static_cast<char>(other[i] ^ 1);
    EXPECT_FALSE(spend_from(other)) << i;
    EXPECT_FALSE(spend_from(text.substr(0, i))) << i;
  }
  const spend_record twice{0, {record.keys[0], record.keys[0]}};
  EXPECT_FALSE(spend_from(text_of(twice)));
  EXPECT_FALSE(spend_from(std::string(1U << 20U, 'x')));
}

} // namespace
} // namespace ovir::gateway
