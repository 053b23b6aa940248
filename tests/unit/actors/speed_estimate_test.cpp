#include "actors/runtime/speed_estimate.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace ovir::actors {
namespace {

TEST(speed_estimate, knows_nothing_before_the_first_step) {
  const speed_estimate e;
  EXPECT_FALSE(e.speeds().decode_bytes_per_second);
  EXPECT_FALSE(e.speeds().prefill_bytes_per_second);
}

TEST(speed_estimate, counts_one_position_as_decode_and_a_chunk_as_prefill) {
  speed_estimate e;
  e.add({1'000, 1, 0.5});
  e.add({1'000, 64, 4});
  EXPECT_DOUBLE_EQ(e.speeds().decode_bytes_per_second.value_or(0), 2'000);
  EXPECT_DOUBLE_EQ(e.speeds().prefill_bytes_per_second.value_or(0), 16'000);
}

TEST(speed_estimate, leaves_out_steps_that_are_neither_or_cannot_be) {
  speed_estimate e;
  e.add({1'000, 2, 1});
  e.add({1'000, 7, 1});
  e.add({1'000, 0, 1});
  e.add({0, 1, 1});
  e.add({1'000, 1, 0});
  e.add({1'000, 1, -1});
  e.add({1'000, 1, std::numeric_limits<double>::quiet_NaN()});
  EXPECT_FALSE(e.speeds().decode_bytes_per_second);
  EXPECT_FALSE(e.speeds().prefill_bytes_per_second);
  e.add({1'000, 8, 1});
  EXPECT_TRUE(e.speeds().prefill_bytes_per_second);
}

TEST(speed_estimate, takes_the_middle_of_the_first_few) {
  smoothed_median m;
  m.add(10);
  m.add(30);
  EXPECT_DOUBLE_EQ(m.value().value_or(0), 20);
  m.add(1'000);
  EXPECT_DOUBLE_EQ(m.value().value_or(0), 30);
}

TEST(speed_estimate, is_not_moved_by_two_outliers_among_five) {
  smoothed_median m{10.0};
  for (int group = 0; group < 20; ++group) {
    for (const double value : {10.0, 9'999.0, 10.0, 0.001, 10.0}) {
      m.add(value);
    }
  }
  EXPECT_DOUBLE_EQ(m.value().value_or(0), 10);
}

TEST(speed_estimate, follows_a_lasting_change) {
  smoothed_median m{10.0};
  for (int i = 0; i < 5; ++i) {
    m.add(20);
  }
  EXPECT_DOUBLE_EQ(m.value().value_or(0), 13) << "0.3 of the way";
  for (int i = 0; i < 45; ++i) {
    m.add(20);
  }
  EXPECT_NEAR(m.value().value_or(0), 20, 0.5);
}

TEST(speed_estimate, goes_on_from_a_first_measurement) {
  speed_estimate e{{.decode_bytes_per_second = 100, .prefill_bytes_per_second = {}}};
  EXPECT_DOUBLE_EQ(e.speeds().decode_bytes_per_second.value_or(0), 100);
  e.add({1'000, 1, 1}); // one of the next five
  EXPECT_DOUBLE_EQ(e.speeds().decode_bytes_per_second.value_or(0), 100);
}

TEST(prediction_error, is_a_share_of_what_was_measured) {
  EXPECT_DOUBLE_EQ(prediction_error(12, 10).value_or(0), 0.2);
  EXPECT_DOUBLE_EQ(prediction_error(5, 10).value_or(0), -0.5);
  EXPECT_FALSE(prediction_error(12, 0));
  EXPECT_FALSE(prediction_error(0, 12));
  EXPECT_FALSE(prediction_error(std::numeric_limits<double>::infinity(), 12));
}

TEST(prediction_error, is_told_in_words) {
  EXPECT_EQ(prediction_text(12, 10), "predicted 12.0 tokens/s, measured 10.0: 20 % too high");
  EXPECT_EQ(prediction_text(7.5, 10), "predicted 7.5 tokens/s, measured 10.0: 25 % too low");
  EXPECT_EQ(prediction_text(10.04, 10), "predicted 10.0 tokens/s, measured 10.0: right");
  EXPECT_EQ(prediction_text(0, 10), "");
}

} // namespace
} // namespace ovir::actors
