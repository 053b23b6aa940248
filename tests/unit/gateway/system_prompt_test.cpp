// What the system says reaches models whose conversations have no place for it.
#include "gateway/api/system_prompt.hpp"

#include <gtest/gtest.h>

namespace ovir::gateway {
namespace {

using messages = std::vector<chat_message>;
using kind = prompt_part::kind;

TEST(system_prompt, stands_in_the_users_message_behind_it) {
  const messages asked{
      {"system", "S"}, {"system", "T"}, {"user", "U"}, {"assistant", "A"}, {"user", "V"}};
  EXPECT_EQ(with_system_folded(asked),
            (messages{{"user", "S\n\nT\n\nU"}, {"assistant", "A"}, {"user", "V"}}));
}

TEST(system_prompt, stands_in_the_one_before_where_none_follows) {
  EXPECT_EQ(with_system_folded(messages{{"user", "U"}, {"system", "S"}}),
            (messages{{"user", "U\n\nS"}}));
  EXPECT_EQ(with_system_folded(messages{{"user", "U"}, {"assistant", "A"}, {"system", "S"}}),
            (messages{{"user", "U\n\nS"}, {"assistant", "A"}}));
}

TEST(system_prompt, is_not_invented) {
  EXPECT_FALSE(with_system_folded(messages{{"user", "U"}}));
  EXPECT_FALSE(with_system_folded(messages{{"system", "S"}}));
  EXPECT_FALSE(with_system_folded(messages{{"system", "S"}, {"assistant", "A"}}));
}

TEST(system_prompt, is_missed_where_a_template_leaves_it_out) {
  const messages asked{{"system", " Be kind.\nAlways. "}, {"user", "U"}};
  const std::vector<prompt_part> without{{kind::text, "User: U"}};
  const std::vector<prompt_part> with{
      {kind::control, "<sys>"}, {kind::text, "Be kind."}, {kind::text, "\nAlways.</sys>User: U"}};
  EXPECT_TRUE(leaves_out_system(asked, without));
  EXPECT_FALSE(leaves_out_system(asked, with));
  EXPECT_FALSE(leaves_out_system(messages{{"user", "U"}}, without));
  EXPECT_FALSE(leaves_out_system(messages{{"system", " \n"}}, without)) << "it says nothing";
}

} // namespace
} // namespace ovir::gateway
