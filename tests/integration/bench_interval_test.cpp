// What bench/interval.bash says of rounds, beside a worked example of a textbook.
#include "tests/support/cluster/child_process.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace ovir::test {
namespace {

child_result typical_change(const std::string& rounds) {
  child_options options;
  options.input = rounds;
  return run_child(
      {"/bin/bash", "-c", ". '" OVIR_SOURCE_DIR "/bench/interval.bash'; typical_change"}, options);
}

// Hollander and Wolfe, Nonparametric Statistical Methods: depression of nine patients before and
// after a therapy; estimate 0.46, interval 0.010 to 0.786.
TEST(bench_interval, is_that_of_the_textbook) {
  const child_result said =
      typical_change("0.952\n-0.147\n1.022\n0.43\n0.62\n0.59\n0.49\n-0.08\n0.01\n");
  std::istringstream words{said.out};
  double typical = 0;
  double low = 0;
  double high = 0;
  int rounds = 0;
  words >> typical >> low >> high >> rounds;
  ASSERT_TRUE(words) << said.out << said.err;
  EXPECT_NEAR(typical, 0.46, 1e-6);
  EXPECT_NEAR(low, 0.010, 1e-6);
  EXPECT_NEAR(high, 0.786, 1e-6);
  EXPECT_EQ(rounds, 9);
}

TEST(bench_interval, knows_when_there_are_too_few) {
  EXPECT_EQ(typical_change("1\n2\n3\n4\n5\n").out, "3 -inf inf 5\n");
  const child_result two = typical_change("1\n2\n");
  EXPECT_EQ(two.out, "");
  EXPECT_NE(two.exit_code, 0);
}

} // namespace
} // namespace ovir::test
