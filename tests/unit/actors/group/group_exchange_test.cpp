// Who waits for whom in a group, for how long, and what is refused.
#include "actors/group/group_exchange.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using received = group_exchange::received;

constexpr std::uint64_t the_group = 7;
constexpr group_exchange::time_point start{};

exchange_step step_of(std::uint32_t step, std::uint64_t pass = 1) {
  return {pass, step, 3, step % 2 + 1, group_kind::maxima};
}

/// A part of a step as member `from` sends it; its bytes follow from `value`.
group_exchange::bytes part_of(std::uint32_t from, const exchange_step& at, std::uint8_t value,
                              std::uint16_t rows = 1) {
  const group_header h{
      at.kind, static_cast<std::uint16_t>(from), rows, at.layer, at.step, 0, at.block, the_group,
      at.pass};
  std::vector<std::byte> payload(std::size_t{rows} * 5);
  payload.front() = std::byte{value};
  return std::make_shared<const std::vector<std::byte>>(encode_group(h, payload));
}

group_exchange::bytes own_part() {
  return std::make_shared<const std::vector<std::byte>>(5, std::byte{9});
}

/// Member 0 of three, in pass 1.
class exchange_of_three : public testing::Test {
protected:
  exchange_of_three() { exchange_.begin(1); }

  result<received> give(std::uint32_t from, const group_exchange::bytes& bytes) {
    return exchange_.receive(from, decode_group(*bytes).value(), bytes);
  }
  result<received> give(std::uint32_t from, const exchange_step& at, std::uint8_t value = 1) {
    return give(from, part_of(from, at, value));
  }
  void open(std::uint32_t step, group_exchange::time_point now = start) {
    ASSERT_TRUE(exchange_.open(step_of(step), 1, 0, own_part(), now));
  }
  void expect_refused(const result<received>& got, errc code, const std::string& words) {
    ASSERT_FALSE(got) << words;
    EXPECT_EQ(got.error().code, code);
    EXPECT_THAT(got.error().message, HasSubstr(words));
  }

  group_exchange exchange_{the_group, 0, 3, 200ms};
};

TEST_F(exchange_of_three, is_complete_when_everybody_s_part_is_there_in_any_order) {
  open(0);
  EXPECT_FALSE(exchange_.complete());
  EXPECT_EQ(give(2, step_of(0), 22).value(), received::taken);
  EXPECT_FALSE(exchange_.complete());
  EXPECT_THAT(exchange_.missing(), ElementsAre(1));
  EXPECT_EQ(give(1, step_of(0), 11).value(), received::taken);
  ASSERT_TRUE(exchange_.complete());
  const auto all = exchange_.all();
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0][0], std::byte{9});
  EXPECT_EQ(all[1][0], std::byte{11});
  EXPECT_EQ(all[2][0], std::byte{22});
  EXPECT_FALSE(exchange_.deadline());
}

TEST_F(exchange_of_three, keeps_the_next_step_of_a_member_that_is_ahead_and_no_more) {
  open(0);
  ASSERT_TRUE(give(1, step_of(0)));
  EXPECT_EQ(give(1, step_of(1), 5).value(), received::kept);
  expect_refused(give(1, step_of(2)), errc::malformed, "a step that it cannot have come to");
  ASSERT_TRUE(give(2, step_of(0)));
  open(1);
  EXPECT_THAT(exchange_.missing(), ElementsAre(2));
  ASSERT_TRUE(give(2, step_of(1)));
  EXPECT_EQ(exchange_.all()[1][0], std::byte{5});
}

TEST_F(exchange_of_three, keeps_what_comes_before_its_own_part_and_before_the_pass) {
  EXPECT_EQ(give(1, step_of(0), 4).value(), received::kept);
  open(0);
  EXPECT_THAT(exchange_.missing(), ElementsAre(2));
  ASSERT_TRUE(give(2, step_of(0)));
  // The others have heard of the next pass already.
  EXPECT_EQ(give(2, step_of(0, 2), 6).value(), received::kept);
  exchange_.begin(2);
  ASSERT_TRUE(exchange_.open(step_of(0, 2), 1, 0, own_part(), start));
  EXPECT_THAT(exchange_.missing(), ElementsAre(1));
}

TEST_F(exchange_of_three, ignores_what_is_repeated_or_late) {
  open(0);
  ASSERT_TRUE(give(1, step_of(0)));
  EXPECT_EQ(give(1, step_of(0)).value(), received::repeated);
  ASSERT_TRUE(give(2, step_of(0)));
  open(1);
  EXPECT_EQ(give(1, step_of(0)).value(), received::late);
  ASSERT_TRUE(give(1, step_of(1)));
  ASSERT_TRUE(give(2, step_of(1)));
  exchange_.begin(2);
  EXPECT_EQ(give(1, step_of(1)).value(), received::late);
  EXPECT_THAT(exchange_.missing(), ElementsAre());
}

TEST_F(exchange_of_three, refuses_two_parts_that_contradict_each_other) {
  open(0);
  ASSERT_TRUE(give(1, step_of(0), 1));
  expect_refused(give(1, step_of(0), 2), errc::digest_mismatch,
                 "member 1 of group 7 sent two parts that contradict each other");
  ASSERT_TRUE(give(2, step_of(0), 1));
  ASSERT_TRUE(give(2, step_of(1), 1));
  expect_refused(give(2, step_of(1), 2), errc::digest_mismatch, "member 2");
  open(1);
  expect_refused(give(1, step_of(0), 2), errc::digest_mismatch, "member 1"); // late as well
}

TEST_F(exchange_of_three, refuses_a_part_in_another_s_name_or_of_another_group) {
  open(0);
  expect_refused(give(1, part_of(2, step_of(0), 1)), errc::malformed, "in another's name");
  expect_refused(give(0, part_of(0, step_of(0), 1)), errc::malformed, "in another's name");
  expect_refused(give(3, part_of(3, step_of(0), 1)), errc::malformed, "in another's name");
  group_header h = decode_group(*part_of(1, step_of(0), 1)).value().header;
  h.group = 8;
  expect_refused(give(1, std::make_shared<const std::vector<std::byte>>(
                             encode_group(h, std::vector<std::byte>(5)))),
                 errc::malformed, "does not cross in this group");
  EXPECT_THAT(exchange_.missing(), ElementsAre(1, 2));
}

TEST_F(exchange_of_three, refuses_a_part_of_another_step_than_its_number_says) {
  open(0);
  exchange_step other = step_of(0);
  other.layer = 4;
  expect_refused(give(1, other), errc::malformed, "another step than its number says");
  other = step_of(0);
  other.block = 2;
  expect_refused(give(1, other), errc::malformed, "another step than its number says");
  expect_refused(give(1, part_of(1, step_of(0), 1, 2)), errc::malformed, "another step");
  // One that came early is looked at when its step is there.
  other = step_of(1);
  other.layer = 4;
  ASSERT_TRUE(give(2, other));
  ASSERT_TRUE(give(1, step_of(0)));
  ASSERT_TRUE(give(2, step_of(0)));
  const auto opened = exchange_.open(step_of(1), 1, 0, own_part(), start);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().message, HasSubstr("member 2 of group 7"));
}

TEST_F(exchange_of_three, names_those_who_are_missing_when_time_is_over) {
  open(0, start + 50ms);
  ASSERT_TRUE(give(2, step_of(0)));
  EXPECT_EQ(exchange_.deadline(), start + 250ms);
  EXPECT_FALSE(exchange_.expired(start + 249ms));
  const auto over = exchange_.expired(start + 250ms);
  ASSERT_TRUE(over);
  EXPECT_EQ(over->code, errc::timed_out);
  EXPECT_THAT(over->message, HasSubstr("nothing came from member 1 for layer 3, step 0 of pass 1 "
                                       "within 200 ms"));
  ASSERT_TRUE(give(1, step_of(0)));
  EXPECT_FALSE(exchange_.expired(start + 10s)) << "it waits for no member";
}

TEST_F(exchange_of_three, says_in_its_header_what_the_others_check) {
  const auto header = exchange_.open(step_of(0), 4, 320, own_part(), start).value();
  EXPECT_EQ(header, (group_header{group_kind::maxima, 0, 4, 3, 0, 320, 1, the_group, 1}));
}

TEST(group_exchange, of_one_member_waits_for_nobody) {
  group_exchange alone{the_group, 0, 1, 1ms};
  alone.begin(1);
  ASSERT_TRUE(alone.open(step_of(0), 1, 0, own_part(), start));
  EXPECT_TRUE(alone.complete());
  EXPECT_FALSE(alone.expired(start + 10s));
}

} // namespace
} // namespace ovir::actors
