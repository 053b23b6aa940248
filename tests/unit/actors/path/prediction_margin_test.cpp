#include "actors/path/prediction_margin.hpp"
#include "messages/limits/paths.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace ovir::actors {
namespace {

using namespace std::chrono_literals;

constexpr prediction_margin::time_point now{1h};

TEST(prediction_margin, is_one_where_nothing_was_seen) {
  EXPECT_EQ(prediction_margin{}.at(now), 1);
}

prediction_margin margin_of(std::size_t count, double times, bool close = false) {
  prediction_margin made;
  for (std::size_t i = 0; i < count; ++i) {
    made.add(times, close, now);
  }
  return made;
}

TEST(prediction_margin, is_never_less_than_the_prediction) {
  EXPECT_EQ(margin_of(20, 0.5).at(now), 1);
}

TEST(prediction_margin, follows_from_no_few_requests) {
  EXPECT_EQ(margin_of(limits::margin_requests_min - 1, 4).at(now), 1);
  EXPECT_EQ(margin_of(limits::margin_requests_min, 4).at(now), 4);
}

TEST(prediction_margin, is_not_that_of_the_one_that_met_a_slow_node) {
  prediction_margin margin = margin_of(12, 2);
  margin.add(200, true, now);
  EXPECT_EQ(margin.at(now), 2);
  EXPECT_EQ(margin_of(200, 200).at(now), limits::margin_max);
}

TEST(prediction_margin, leaves_out_the_one_in_a_hundred_that_took_longest) {
  prediction_margin margin;
  for (std::size_t i = 1; i < 2 * limits::margin_one_in; ++i) {
    margin.add(1 + 0.01 * static_cast<double>(i), false, now);
  }
  // Of two hundred with the next one, the second longest: one may take longer.
  EXPECT_DOUBLE_EQ(margin.at(now), 1 + 0.01 * (2.0 * limits::margin_one_in - 2));
}

TEST(prediction_margin, counts_those_with_little_time_alone_once_they_are_enough) {
  prediction_margin margin = margin_of(limits::margin_one_in, 6);
  for (std::size_t i = 0; i < limits::margin_one_in; ++i) {
    EXPECT_EQ(margin.at(now), 6) << i;
    margin.add(2, true, now);
  }
  EXPECT_EQ(margin.at(now), 2);
}

TEST(prediction_margin, forgets) {
  prediction_margin margin = margin_of(20, 5, true);
  EXPECT_EQ(margin.at(now + limits::margin_time), 5);
  EXPECT_EQ(margin.at(now + limits::margin_time + 1ns), 1);
  for (std::size_t i = 0; i < limits::margin_requests_max; ++i) {
    margin.add(2, true, now);
  }
  EXPECT_EQ(margin.at(now), 2);
}

TEST(prediction_margin, leaves_out_what_cannot_be) {
  prediction_margin margin;
  margin.add(0, true, now);
  margin.add(-1, true, now);
  margin.add(std::numeric_limits<double>::infinity(), true, now);
  EXPECT_EQ(margin.at(now), 1);
}

} // namespace
} // namespace ovir::actors
