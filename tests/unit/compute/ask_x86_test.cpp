#include "compute/kernels_ask.hpp"

#include <gtest/gtest.h>

#if defined(__x86_64__)

namespace {

using namespace ovir::compute::x86;

TEST(ask_x86, every_batch_asks_from_zen_5_on_and_only_wider_ones_elsewhere) {
  EXPECT_EQ(asks_from(true, 0x1A), 1U);
  EXPECT_EQ(asks_from(true, 0x1B), 1U);
  EXPECT_EQ(asks_from(true, 0x19), 2U) << "Zen 3 and 4";
  EXPECT_EQ(asks_from(true, 0x17), ask_tokens_self_reading) << "not measured";
  EXPECT_EQ(asks_from(false, 0x1A), ask_tokens_self_reading) << "another maker's families";
}

TEST(ask_x86, only_zen_4_asks_for_the_second_level) {
  EXPECT_FALSE(asks_near(true, 0x19));
  EXPECT_TRUE(asks_near(true, 0x1A));
  EXPECT_TRUE(asks_near(true, 0x17)) << "not measured";
  EXPECT_TRUE(asks_near(false, 0x19)) << "another maker's families";
}

TEST(ask_x86, this_processor_has_an_answer) {
  const std::uint32_t here = asks_from_here();
  EXPECT_TRUE(here >= 1 && here <= ask_tokens_self_reading) << here;
}

} // namespace

#endif
