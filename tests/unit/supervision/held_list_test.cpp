#include "node/held_list.hpp"

#include <gtest/gtest.h>

namespace ovir::supervision {
namespace {

TEST(held_list, comes_back_as_it_was) {
  held_list held;
  digest other;
  other.bytes[0] = 7;
  held[digest{}] = {{{0, 4}, {8, 12}}, {{4, 6}}};
  held[other] = {{{3, 1'024}}, {}};
  const auto read = held_list_from(to_text(held));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, held);
  EXPECT_EQ(held_list_from(to_text({}))->size(), 0U);
}

TEST(held_list, any_other_text_is_malformed) {
  const std::string model(64, 'a');
  for (const std::string& text :
       {std::string{}, std::string{"[]"}, std::string{"{"},
        std::string{R"({"a": {"held": [[0, 1]], "spares": []}})"},
        R"({")" + model + R"(": {"held": [[1, 1]], "spares": []}})",
        R"({")" + model + R"(": {"held": [[0, 1025]], "spares": []}})",
        R"({")" + model + R"(": {"held": [], "spares": [[-1, 4]]}})",
        R"({")" + model + R"(": {"held": [[0.5, 4]], "spares": []}})",
        R"({")" + model + R"(": {"held": [[0]], "spares": []}})",
        R"({")" + model + R"(": {"held": [0], "spares": []}})",
        R"({")" + model + R"(": {"held": [[0, 1]]}})", R"({")" + model + R"(": [[0, 1]]})"}) {
    const auto read = held_list_from(text);
    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, errc::malformed) << text;
  }
}

} // namespace
} // namespace ovir::supervision
