#include "apps/state_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

TEST(state_folder, is_the_first_that_is_said) {
  EXPECT_EQ(state_folder_from("/a", "/b", "/c").value(), "/a");
  EXPECT_EQ(state_folder_from("", "/b", "/c").value(), "/b/ovir");
  EXPECT_EQ(state_folder_from("", "", "/c").value(), "/c/.local/state/ovir");
  EXPECT_EQ(state_folder_from("here", "/b", "/c").value(), "here");
}

TEST(state_folder, ignores_relative_paths_where_the_specification_does) {
  EXPECT_EQ(state_folder_from("", "b", "/c").value(), "/c/.local/state/ovir");
  EXPECT_FALSE(state_folder_from("", "b", "c"));
}

TEST(state_folder, says_what_to_set_when_nothing_is) {
  const auto nowhere = state_folder_from("", "", "");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, errc::invalid_argument);
  EXPECT_THAT(nowhere.error().message, ::testing::HasSubstr("set OVIR_HOME"));
}

TEST(state_folder, is_not_where_the_operators_key_is) {
  EXPECT_EQ(operator_folder_from("/a", "/b", "/c").value(), "/a");
  EXPECT_EQ(operator_folder_from("", "/b", "/c").value(), "/b/ovir");
  EXPECT_EQ(operator_folder_from("", "b", "/c").value(), "/c/.config/ovir");
  EXPECT_EQ(admin_key_path_in("/a"), "/a/admin.key");
  const auto nowhere = operator_folder_from("", "", "");
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, errc::invalid_argument);
  EXPECT_THAT(nowhere.error().message, ::testing::HasSubstr("set OVIR_OPERATOR"));
}

TEST(state_folder, holds_the_nodes_key) { EXPECT_EQ(key_path_in("/a"), "/a/node.key"); }

} // namespace
} // namespace ovir::apps
