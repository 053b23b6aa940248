#include "actors/reuse/input_fetch_core.hpp"
#include "messages/limits/audit_inputs.hpp"
#include "messages/limits/blocks.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;
using fetch_core = input_fetch_core;

constexpr fetch_core::time_point fetch_start{};

node_id source_of(std::uint8_t first) {
  node_id id;
  id.key[0] = first;
  return id;
}
digest input_name(std::uint32_t number) {
  return hasher{"ovir/test/input"}.update_u32(number).finish();
}
std::vector<wanted_input> inputs_of(std::uint32_t count, std::size_t bytes = 8) {
  std::vector<wanted_input> all;
  for (std::uint32_t i = 0; i < count; ++i) {
    all.push_back({input_name(i), bytes});
  }
  return all;
}
std::vector<std::byte> bytes_with(std::uint32_t number, std::size_t bytes = 8) {
  return std::vector<std::byte>(bytes, static_cast<std::byte>(number));
}

TEST(input_fetch_core, what_comes_in_any_order_is_told_in_the_order_wanted) {
  fetch_core fetches;
  const auto begun = fetches.begin(7, source_of(1), inputs_of(3), fetch_start);
  ASSERT_EQ(begun.asks.size(), 1U);
  EXPECT_TRUE(begun.done.empty());
  const block_ask& ask = begun.asks[0];
  EXPECT_EQ(ask.source, source_of(1));
  EXPECT_EQ(ask.places, (std::vector<digest>{input_name(0), input_name(1), input_name(2)}));
  EXPECT_TRUE(fetch_core::is_ticket(ask.ticket));
  EXPECT_FALSE(fetch_core::is_ticket(1));
  EXPECT_TRUE(
      fetches.on_block(source_of(1), ask.ticket, 2, bytes_with(2), fetch_start).done.empty());
  EXPECT_TRUE(fetches.on_missing(source_of(1), ask.ticket, 1, fetch_start).done.empty());
  const auto last = fetches.on_block(source_of(1), ask.ticket, 0, bytes_with(0), fetch_start);
  ASSERT_EQ(last.done.size(), 1U);
  EXPECT_EQ(last.done[0].fetch, 7U);
  ASSERT_EQ(last.done[0].inputs.size(), 3U);
  EXPECT_EQ(*last.done[0].inputs[0], bytes_with(0));
  EXPECT_EQ(last.done[0].inputs[1], nullptr);
  EXPECT_EQ(*last.done[0].inputs[2], bytes_with(2));
  EXPECT_EQ(fetches.fetches_under_way(), 0U);
}

TEST(input_fetch_core, bytes_of_another_size_are_missing) {
  fetch_core fetches;
  const auto begun = fetches.begin(1, source_of(1), inputs_of(1), fetch_start);
  const auto end =
      fetches.on_block(source_of(1), begun.asks.at(0).ticket, 0, bytes_with(1, 9), fetch_start);
  ASSERT_EQ(end.done.size(), 1U);
  EXPECT_EQ(end.done[0].inputs, std::vector<fetch_core::bytes_pointer>{nullptr});
}

TEST(input_fetch_core, what_no_message_can_carry_is_not_asked_for) {
  fetch_core fetches;
  std::vector<wanted_input> wanted = inputs_of(3);
  wanted[0].bytes = 0;
  wanted[2].bytes = limits::kv_block_bytes_max + 1;
  const auto begun = fetches.begin(1, source_of(1), wanted, fetch_start);
  EXPECT_EQ(begun.asks.at(0).places, std::vector<digest>{input_name(1)});
  EXPECT_EQ(fetches.begin(2, source_of(2), {}, fetch_start).done.at(0).fetch, 2U);
  const auto none = fetches.begin(3, source_of(3), {wanted[0], wanted[2]}, fetch_start);
  EXPECT_EQ(none.done.at(0).inputs.size(), 2U);
  EXPECT_TRUE(none.asks.empty());
  EXPECT_EQ(fetches.fetches_under_way(), 1U);
}

TEST(input_fetch_core, a_source_is_asked_one_question_at_a_time_of_bounded_size) {
  fetch_core fetches;
  // By names.
  auto now = fetches.begin(1, source_of(1), inputs_of(limits::blocks_asked_max + 1), fetch_start);
  ASSERT_EQ(now.asks.size(), 1U);
  ASSERT_EQ(now.asks[0].places.size(), limits::blocks_asked_max);
  const std::uint64_t first = now.asks[0].ticket;
  for (std::uint32_t i = 0; i < limits::blocks_asked_max; ++i) {
    ASSERT_TRUE(now.done.empty());
    now = fetches.on_missing(source_of(1), first, i, fetch_start);
    ASSERT_EQ(now.asks.size(), i + 1 == limits::blocks_asked_max ? 1U : 0U);
  }
  EXPECT_EQ(now.asks[0].places, std::vector<digest>{input_name(limits::blocks_asked_max)});
  EXPECT_NE(now.asks[0].ticket, first);
  // By bytes: two that are together more than that, and one that is alone.
  std::vector<wanted_input> large = inputs_of(3, limits::block_source_bytes_max / 2);
  large.push_back({input_name(3), limits::block_source_bytes_max + 1});
  now = fetches.begin(2, source_of(2), large, fetch_start);
  EXPECT_EQ(now.asks.at(0).places.size(), 2U);
  const std::uint64_t second = now.asks[0].ticket;
  EXPECT_TRUE(fetches.on_missing(source_of(2), second, 0, fetch_start).asks.empty());
  now = fetches.on_missing(source_of(2), second, 1, fetch_start);
  EXPECT_EQ(now.asks.at(0).places, std::vector<digest>{input_name(2)});
  now = fetches.on_missing(source_of(2), now.asks[0].ticket, 0, fetch_start);
  EXPECT_EQ(now.asks.at(0).places, std::vector<digest>{input_name(3)});
}

TEST(input_fetch_core, fetches_of_one_source_take_turns_and_those_of_others_do_not_wait) {
  fetch_core fetches;
  const auto first = fetches.begin(1, source_of(1), inputs_of(1), fetch_start);
  EXPECT_TRUE(fetches.begin(2, source_of(1), inputs_of(2), fetch_start).asks.empty());
  EXPECT_TRUE(fetches.begin(3, source_of(1), {}, fetch_start).done.empty());
  EXPECT_EQ(fetches.begin(4, source_of(2), inputs_of(1), fetch_start).asks.size(), 1U);
  auto now = fetches.on_missing(source_of(1), first.asks[0].ticket, 0, fetch_start);
  ASSERT_EQ(now.done.size(), 1U);
  EXPECT_EQ(now.done[0].fetch, 1U);
  ASSERT_EQ(now.asks.size(), 1U);
  EXPECT_EQ(now.asks[0].places.size(), 2U);
  const std::uint64_t ticket = now.asks[0].ticket;
  EXPECT_TRUE(fetches.on_missing(source_of(1), ticket, 0, fetch_start).done.empty());
  now = fetches.on_missing(source_of(1), ticket, 1, fetch_start);
  ASSERT_EQ(now.done.size(), 2U) << "the one that wants nothing ends with it";
  EXPECT_EQ(now.done[1].fetch, 3U);
}

TEST(input_fetch_core, answers_to_no_question_of_this_source_are_passed_over) {
  fetch_core fetches;
  const std::uint64_t ticket =
      fetches.begin(1, source_of(1), inputs_of(2), fetch_start).asks.at(0).ticket;
  const auto unasked = [&](std::uint8_t from, std::uint64_t of, std::uint32_t number) {
    const auto out = fetches.on_block(source_of(from), of, number, bytes_with(0), fetch_start);
    return out.asks.empty() && out.done.empty();
  };
  EXPECT_TRUE(unasked(2, ticket, 0));
  EXPECT_TRUE(unasked(1, ticket + 1, 0));
  EXPECT_TRUE(unasked(1, ticket, 2));
  EXPECT_TRUE(unasked(1, ticket, 1));
  EXPECT_TRUE(unasked(1, ticket, 1)) << "answered already";
  const auto end = fetches.on_missing(source_of(1), ticket, 0, fetch_start);
  ASSERT_EQ(end.done.size(), 1U);
  EXPECT_EQ(end.done[0].inputs[0], nullptr);
  EXPECT_NE(end.done[0].inputs[1], nullptr);
}

TEST(input_fetch_core, a_silent_source_ends_its_fetches_with_what_came) {
  fetch_core fetches;
  const std::uint64_t ticket =
      fetches.begin(1, source_of(1), inputs_of(2), fetch_start).asks.at(0).ticket;
  EXPECT_TRUE(fetches.begin(2, source_of(1), inputs_of(1), fetch_start + 1s).asks.empty());
  const auto said = fetch_start + limits::audit_inputs_wait - 1ms;
  EXPECT_TRUE(fetches.on_tick(said).done.empty());
  EXPECT_TRUE(fetches.on_block(source_of(1), ticket, 0, bytes_with(0), said).done.empty());
  EXPECT_TRUE(fetches.on_tick(said + limits::audit_inputs_wait - 1ms).done.empty());
  const auto end = fetches.on_tick(said + limits::audit_inputs_wait);
  ASSERT_EQ(end.done.size(), 2U);
  EXPECT_NE(end.done[0].inputs[0], nullptr);
  EXPECT_EQ(end.done[0].inputs[1], nullptr);
  EXPECT_EQ(end.done[1].inputs, std::vector<fetch_core::bytes_pointer>{nullptr});
  // What comes late is of no fetch any more, also if there is another one.
  const auto again = fetches.begin(3, source_of(1), inputs_of(2), said);
  EXPECT_NE(again.asks.at(0).ticket, ticket);
  EXPECT_TRUE(fetches.on_block(source_of(1), ticket, 1, bytes_with(9), said).done.empty());
}

TEST(input_fetch_core, a_source_that_is_lost_ends_its_fetches_at_once_and_no_others) {
  fetch_core fetches;
  (void)fetches.begin(1, source_of(1), inputs_of(2), fetch_start);
  (void)fetches.begin(2, source_of(1), inputs_of(2), fetch_start);
  (void)fetches.begin(3, source_of(2), inputs_of(2), fetch_start);
  const auto end = fetches.lost(source_of(1));
  ASSERT_EQ(end.done.size(), 2U);
  EXPECT_EQ(end.done[1].inputs.size(), 2U);
  EXPECT_TRUE(fetches.lost(source_of(1)).done.empty());
  EXPECT_EQ(fetches.fetches_under_way(), 1U);
}

TEST(input_fetch_core, more_fetches_than_may_wait_end_with_nothing) {
  fetch_core fetches;
  for (std::uint32_t i = 0; i < limits::audit_input_fetches_max; ++i) {
    const auto from = source_of(static_cast<std::uint8_t>(1 + i % 3));
    EXPECT_TRUE(fetches.begin(i, from, inputs_of(1), fetch_start).done.empty());
  }
  const auto more = fetches.begin(99, source_of(9), inputs_of(2), fetch_start);
  EXPECT_TRUE(more.asks.empty());
  ASSERT_EQ(more.done.size(), 1U);
  EXPECT_EQ(more.done[0].inputs, (std::vector<fetch_core::bytes_pointer>{nullptr, nullptr}));
}

} // namespace
} // namespace ovir::actors
