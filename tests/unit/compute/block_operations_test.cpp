#include "compute/kernels/reference/block_operations.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace ovir::compute {
namespace {

TEST(block_operations, one_value_that_is_not_finite_is_found_wherever_it_stands) {
  using limits = std::numeric_limits<float>;
  EXPECT_TRUE(all_finite({}));
  for (const std::size_t n : {1U, 3U, 16U, 37U}) {
    std::vector<float> x(n, limits::max());
    EXPECT_TRUE(all_finite(x));
    for (std::size_t at = 0; at < n; ++at) {
      for (const float bad : {limits::infinity(), -limits::infinity(), limits::quiet_NaN(),
                              limits::signaling_NaN(), -limits::quiet_NaN()}) {
        x[at] = bad;
        EXPECT_FALSE(all_finite(x)) << n << " " << at << " " << bad;
      }
      x[at] = -limits::denorm_min();
      EXPECT_TRUE(all_finite(x));
    }
  }
}

} // namespace
} // namespace ovir::compute
