#include "actors/runtime/byte_rate.hpp"

#include <gtest/gtest.h>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

TEST(byte_rate, keeps_to_the_rate_whatever_the_pieces) {
  for (const std::uint64_t piece : {1U, 1'000U, 70'000U}) {
    byte_rate rate{10'000};
    std::uint64_t spent = 0;
    for (byte_rate::time_point now{}; now < byte_rate::time_point{} + 100s; now += 1ms) {
      while (rate.ready(now)) {
        rate.spend(piece);
        spent += piece;
      }
    }
    EXPECT_NEAR(static_cast<double>(spent), 1e6, 1e3 + static_cast<double>(piece));
  }
}

TEST(byte_rate, saves_up_no_more_than_a_tenth_of_a_second) {
  byte_rate rate{10'000};
  const byte_rate::time_point start{};
  ASSERT_TRUE(rate.ready(start));
  std::uint64_t spent = 0;
  while (rate.ready(start + 1h)) {
    rate.spend(100);
    spent += 100;
  }
  EXPECT_EQ(spent, 1'000U);
}

TEST(byte_rate, without_a_rate_everything_goes) {
  byte_rate rate{0};
  rate.spend(1U << 30U);
  EXPECT_TRUE(rate.ready({}));
}

} // namespace
} // namespace ovir::actors
