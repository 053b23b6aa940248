#include "apps/ovir/shell/run_progress.hpp"

#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

errc code_of(const result<std::string_view>& taken) {
  EXPECT_FALSE(taken);
  return taken ? errc::internal : taken.error().code;
}

TEST(run_progress, shows_each_token_once) {
  run_progress progress;
  EXPECT_EQ(progress.take(0, 7, "On").value(), "On");
  EXPECT_EQ(progress.take(1, 8, "").value(), "");
  EXPECT_EQ(progress.take(0, 7, "On").value(), "");
  EXPECT_EQ(progress.take(1, 8, "").value(), "");
  EXPECT_EQ(progress.take(2, 9, "ce").value(), "ce");
  EXPECT_EQ(progress.next(), 3U);
  EXPECT_EQ(progress.text(), "Once");
}

TEST(run_progress, refuses_contradictions_gaps_and_endless_answers) {
  run_progress progress;
  ASSERT_TRUE(progress.take(0, 7, "On"));
  ASSERT_TRUE(progress.take(1, 8, "ce"));
  EXPECT_EQ(code_of(progress.take(0, 8, "On")), errc::digest_mismatch);
  EXPECT_EQ(code_of(progress.take(1, 8, "c")), errc::digest_mismatch);
  EXPECT_EQ(code_of(progress.take(3, 9, "")), errc::malformed);
  EXPECT_EQ(code_of(progress.take(limits::context_max, 9, "")), errc::over_limit);
  EXPECT_EQ(progress.text(), "Once");
}

TEST(run_progress, the_end_may_add_text_but_change_nothing) {
  run_progress progress;
  ASSERT_TRUE(progress.take(0, 7, "On"));
  EXPECT_EQ(progress.finish({7}, "Once").value(), "ce");
  EXPECT_FALSE(progress.finish({7}, "O"));
  EXPECT_FALSE(progress.finish({7, 8}, "Once"));
  EXPECT_FALSE(progress.finish({}, "Once"));
}

} // namespace
} // namespace ovir::apps
