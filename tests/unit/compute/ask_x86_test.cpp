#include "compute/base/kernels_ask.hpp"

#include <gtest/gtest.h>

#if defined(__x86_64__)

namespace {

using namespace ovir::compute::x86;

ask_policy of(maker made_by, std::uint32_t family, std::uint32_t model) {
  return asks_of({made_by, family, model});
}

TEST(ask_x86, one_token_asks_where_it_was_measured_to_help) {
  EXPECT_EQ(of(maker::amd, 0x1A, 0x02).from, 1U) << "Zen 5";
  EXPECT_EQ(of(maker::amd, 0x1B, 0x00).from, 1U) << "what follows it";
  EXPECT_EQ(of(maker::amd, 0x19, 0x11).from, 2U) << "Zen 4";
  EXPECT_EQ(of(maker::amd, 0x19, 0x61).from, 2U) << "Zen 4 of clients";
  EXPECT_EQ(of(maker::amd, 0x19, 0x01).from, 1U) << "Zen 3";
  EXPECT_EQ(of(maker::amd, 0x19, 0x21).from, 1U) << "Zen 3 of clients";
  EXPECT_EQ(of(maker::amd, 0x19, 0x50).from, 1U) << "Zen 3 of clients";
  EXPECT_EQ(of(maker::intel, 6, 0x8F).from, 1U) << "Sapphire Rapids: not measured, the same cores";
  EXPECT_EQ(of(maker::intel, 6, 0xCF).from, 1U) << "Emerald Rapids";
  EXPECT_EQ(of(maker::amd, 0x17, 0x31).from, ask_tokens_self_reading) << "not measured";
  EXPECT_EQ(of(maker::intel, 6, 0x6A).from, ask_tokens_self_reading) << "not measured";
  EXPECT_EQ(of(maker::other, 0x1A, 0x02).from, ask_tokens_self_reading);
  EXPECT_EQ(of(maker::amd, 6, 0xCF).from, ask_tokens_self_reading) << "another maker's models";
  EXPECT_EQ(of(maker::intel, 0x1A, 0x02).from, ask_tokens_self_reading);
}

TEST(ask_x86, the_second_level_is_asked_for_where_it_was_measured_to_be_faster) {
  EXPECT_EQ(of(maker::amd, 0x19, 0x11).integers, ask_into::second_level);
  EXPECT_EQ(of(maker::amd, 0x19, 0x11).floats, ask_into::second_level);
  EXPECT_EQ(of(maker::amd, 0x19, 0x01).integers, ask_into::first_level) << "Zen 3";
  EXPECT_EQ(of(maker::intel, 6, 0xCF).integers, ask_into::second_level);
  EXPECT_EQ(of(maker::intel, 6, 0xCF).floats, ask_into::second_level);
  EXPECT_EQ(of(maker::amd, 0x1A, 0x02).integers, ask_into::first_level);
  EXPECT_EQ(of(maker::amd, 0x1A, 0x02).floats, ask_into::first_level);
  EXPECT_EQ(of(maker::amd, 0x17, 0x31).integers, ask_into::first_level) << "not measured";
}

TEST(ask_x86, one_token_asks_little_ahead_where_it_was_measured_to_help) {
  EXPECT_TRUE(of(maker::amd, 0x19, 0x01).soon_alone) << "Zen 3";
  EXPECT_TRUE(of(maker::amd, 0x19, 0x50).soon_alone) << "Zen 3 of clients";
  EXPECT_FALSE(of(maker::amd, 0x19, 0x11).soon_alone) << "Zen 4 does not ask for one token";
  EXPECT_FALSE(of(maker::amd, 0x1A, 0x02).soon_alone) << "Zen 5 loses";
  EXPECT_FALSE(of(maker::intel, 6, 0xCF).soon_alone) << "not measured";
}

TEST(ask_x86, floats_ask_as_far_ahead_as_the_level_and_the_tokens_say) {
  const ask_policy zen_3 = of(maker::amd, 0x19, 0x01);
  EXPECT_EQ(asks_of_floats(zen_3, 1).level, ask_into::first_level);
  EXPECT_EQ(asks_of_floats(zen_3, 1).bytes, ask_ahead<ask_into::first_level_soon>);
  EXPECT_EQ(asks_of_floats(zen_3, 2).bytes, ask_ahead<ask_into::first_level>);
  const ask_policy rapids = of(maker::intel, 6, 0xCF);
  EXPECT_EQ(asks_of_floats(rapids, 1).level, ask_into::second_level);
  EXPECT_EQ(asks_of_floats(rapids, 1).bytes, ask_ahead<ask_into::second_level>);
  EXPECT_EQ(asks_of_floats(of(maker::amd, 0x19, 0x11), 1).level, ask_into::nothing) << "Zen 4";
}

TEST(ask_x86, long_tiles_are_taken_where_they_were_measured_to_be_faster) {
  EXPECT_TRUE(prefers_long_tiles({maker::amd, 0x1A, 0x02})) << "Zen 5";
  EXPECT_FALSE(prefers_long_tiles({maker::amd, 0x19, 0x11})) << "Zen 4";
  EXPECT_FALSE(prefers_long_tiles({maker::intel, 6, 0xCF})) << "not measured";
  EXPECT_FALSE(prefers_long_tiles({maker::other, 0x1A, 0x02}));
}

// Nothing would be asked for at all if a policy said nowhere: `from` alone says when.
TEST(ask_x86, every_processor_has_an_answer) {
  const ask_policy here = asks_here();
  EXPECT_TRUE(here.from >= 1 && here.from <= ask_tokens_self_reading) << here.from;
  EXPECT_NE(here.integers, ask_into::nothing);
  EXPECT_NE(here.floats, ask_into::nothing);
}

} // namespace

#endif
