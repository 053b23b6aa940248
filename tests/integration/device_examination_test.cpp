#include "apps/device_examination.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

namespace ovir::apps {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

std::string why(const std::function<result<std::string>()>& work,
                std::chrono::milliseconds patience = 60s) {
  const auto outcome = apart_from_drivers(work, patience);
  return outcome ? "made " + *outcome : outcome.error().message;
}

TEST(apart_from_drivers, what_is_made_or_said_comes_back) {
  const std::string much(100'000, 'x');
  EXPECT_EQ(why([&] { return result<std::string>{much}; }), "made " + much);
  EXPECT_EQ(why([] { return result<std::string>{""}; }), "made ");
  EXPECT_EQ(why([]() -> result<std::string> { return fail(errc::unsupported, "none here"); }),
            "none here");
}

TEST(apart_from_drivers, a_driver_that_ends_its_process_or_never_answers_ends_not_this_one) {
  EXPECT_THAT(why([]() -> result<std::string> { std::abort(); }), HasSubstr("signal 6"));
  EXPECT_THAT(why([]() -> result<std::string> { ::_exit(7); }), HasSubstr("exit code 7"));
  EXPECT_THAT(why(
                  []() -> result<std::string> {
                    for (;;) {
                      ::pause();
                    }
                  },
                  50ms),
              HasSubstr("did not answer"));
  EXPECT_THAT(why([] { return result<std::string>{std::string(1'000'000, 'x')}; }),
              HasSubstr("cannot be read"));
}

} // namespace
} // namespace ovir::apps
