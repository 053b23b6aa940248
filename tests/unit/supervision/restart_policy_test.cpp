#include "supervision/restart_policy.hpp"

#include <gtest/gtest.h>

namespace ovir::supervision {

using namespace std::chrono_literals;

TEST(restart_policy, refuses_a_burst_and_forgives_after_the_window) {
  const restart_policy::time_point start{};
  restart_policy policy{2, 30s};
  EXPECT_EQ(policy.on_crash(start), verdict::restart);
  EXPECT_EQ(policy.on_crash(start + 1s), verdict::restart);
  EXPECT_EQ(policy.on_crash(start + 2s), verdict::give_up);
  EXPECT_EQ(policy.on_crash(start + 30s), verdict::restart);
}

TEST(restart_policy, allows_a_sustained_rate_within_its_intensity) {
  restart_policy policy{3, 3s};
  for (int second = 0; second < 1000; ++second) {
    EXPECT_EQ(policy.on_crash(restart_policy::time_point{std::chrono::seconds{second}}),
              verdict::restart);
  }
}

TEST(restart_policy, gives_up_at_once_when_no_restart_is_allowed) {
  restart_policy policy{0, 1s};
  EXPECT_EQ(policy.on_crash({}), verdict::give_up);
}

TEST(restart_policy, doubles_its_back_off_up_to_a_bound_and_starts_over_after_a_quiet_window) {
  const restart_policy::time_point start{};
  restart_policy policy{10, 60s, 10ms, 100ms};
  const restart_policy::duration expected[] = {10ms, 20ms, 40ms, 80ms, 100ms, 100ms};
  for (const auto wait : expected) {
    ASSERT_EQ(policy.on_crash(start), verdict::restart);
    EXPECT_EQ(policy.backoff(), wait);
  }
  ASSERT_EQ(policy.on_crash(start + 60s), verdict::restart);
  EXPECT_EQ(policy.backoff(), 10ms);
}

} // namespace ovir::supervision
