#include "compute/forward/pooled_rows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ovir::compute {
namespace {

constexpr std::uint32_t dim = 5;
constexpr position positions = 11;

std::vector<float> rows(position first, position end) {
  std::vector<float> out;
  for (position p = first; p < end; ++p) {
    for (std::uint32_t i = 0; i < dim; ++i) {
      out.push_back(static_cast<float>((p * 37 + i * 101) % 23) * 0.37F - 3);
    }
  }
  return out;
}

std::vector<float> whole(pooling how) {
  pooled_rows pooled{how, positions, dim};
  pooled.take(0, rows(0, positions));
  EXPECT_TRUE(pooled.whole());
  return pooled.vector();
}

TEST(pooled_rows, have_length_1_and_the_direction_of_the_mean_or_the_last) {
  const auto all = rows(0, positions);
  for (const pooling how : {pooling::mean, pooling::last}) {
    std::vector<double> expected(dim);
    for (position p = how == pooling::mean ? 0 : positions - 1; p < positions; ++p) {
      for (std::uint32_t i = 0; i < dim; ++i) {
        expected[i] += static_cast<double>(all[p * dim + i]);
      }
    }
    double squares = 0;
    for (const double x : expected) {
      squares += x * x;
    }
    const auto vector = whole(how);
    double length = 0;
    for (std::uint32_t i = 0; i < dim; ++i) {
      EXPECT_NEAR(vector[i], expected[i] / std::sqrt(squares), 1e-7);
      length += static_cast<double>(vector[i]) * static_cast<double>(vector[i]);
    }
    EXPECT_NEAR(length, 1, 1e-6);
  }
  EXPECT_NE(whole(pooling::mean), whole(pooling::last));
}

TEST(pooled_rows, are_the_same_bits_however_rows_are_divided_and_told_again) {
  for (const pooling how : {pooling::mean, pooling::last}) {
    pooled_rows pooled{how, positions, dim};
    for (position first = 0; first < positions; first += 2) {
      pooled.take(first / 2, rows(first / 2, first / 2 + 1)); // known already
      pooled.take(first, rows(first, std::min(positions, first + 3)));
    }
    EXPECT_EQ(pooled.vector(), whole(how));
  }
}

TEST(pooled_rows, take_nothing_behind_a_gap_or_beyond_the_end) {
  pooled_rows pooled{pooling::mean, positions, dim};
  pooled.take(2, rows(2, 5));
  EXPECT_EQ(pooled.next(), 0U);
  pooled.take(0, rows(0, 4));
  EXPECT_EQ(pooled.next(), 4U);
  pooled.take(3, rows(3, positions + 4));
  EXPECT_TRUE(pooled.whole());
  EXPECT_EQ(pooled.vector(), whole(pooling::mean));
}

TEST(pooled_rows, shortened_are_the_first_elements_divided_by_their_length) {
  const std::vector<float> vector = whole(pooling::mean);
  for (const std::size_t n : {std::size_t{1}, std::size_t{2}, vector.size()}) {
    double squares = 0;
    for (std::size_t i = 0; i < n; ++i) {
      squares += static_cast<double>(vector[i]) * static_cast<double>(vector[i]);
    }
    const auto part = shortened(vector, n);
    ASSERT_EQ(part.size(), n);
    for (std::size_t i = 0; i < n; ++i) {
      EXPECT_EQ(part[i], static_cast<float>(static_cast<double>(vector[i]) / std::sqrt(squares)));
    }
  }
  EXPECT_EQ(shortened(std::vector{0.0F, 0.0F, 1.0F}, 2), (std::vector{0.0F, 0.0F}));
}

TEST(pooled_rows, of_zeros_are_zeros) {
  pooled_rows pooled{pooling::mean, 2, dim};
  pooled.take(0, std::vector<float>(std::size_t{2} * dim));
  EXPECT_EQ(pooled.vector(), std::vector<float>(dim));
}

} // namespace
} // namespace ovir::compute
