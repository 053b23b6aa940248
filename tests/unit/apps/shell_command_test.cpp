#include "apps/ovir/shell/shell_command.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> words(std::string_view line) {
  const auto commands = split_line(line);
  EXPECT_TRUE(commands);
  EXPECT_EQ(commands->size(), 1U);
  return commands->at(0);
}

json args(std::string_view line) {
  const auto command = parse_command(words(line));
  EXPECT_TRUE(command) << command.error().message;
  return command ? command->args : json{};
}

std::string refusal(std::string_view line) {
  const auto command = parse_command(words(line));
  EXPECT_FALSE(command) << line;
  if (command) {
    return {};
  }
  EXPECT_EQ(command.error().code, errc::invalid_argument);
  return command.error().message;
}

TEST(shell_command, a_line_is_cut_at_semicolons_and_spaces_outside_quotes) {
  const auto commands = split_line(R"( nodes;; run "a; b"' c'd \"e\\ "" ; )");
  ASSERT_TRUE(commands);
  EXPECT_THAT(*commands,
              ElementsAre(ElementsAre("nodes"), ElementsAre("run", "a; b cd", "\"e\\", "")));
  EXPECT_THAT(split_line("").value(), IsEmpty());
  EXPECT_FALSE(split_line("run 'a"));
}

TEST(shell_command, the_words_of_a_prompt_are_joined) {
  EXPECT_EQ(args("run Once upon a time -n 5"),
            json({{"prompt", "Once upon a time"}, {"max_tokens", 5}}));
  EXPECT_EQ(args("run -- -n 5"), json({{"prompt", "-n 5"}}));
  EXPECT_EQ(args("run Once --reveal after"), json({{"prompt", "Once"}, {"reveal", "after"}}));
}

TEST(shell_command, arguments_have_their_types_on_the_wire) {
  EXPECT_EQ(
      args("run --ids 1,259 --temp 0.5 --top-k 4 --seed 18446744073709551615 --stop a --stop b "
           "--no-wait --request aB"),
      json({{"tokens", {1, 259}},
            {"temperature", 0.5},
            {"top_k", 4},
            {"seed", 18446744073709551615U},
            {"stop", {"a", "b"}},
            {"wait", false},
            {"request", "00000000000000ab"}}));
  EXPECT_EQ(args("chaos delay two --ms 10"),
            json({{"action", "delay"}, {"node", "two"}, {"ms", 10}}));
  EXPECT_EQ(args("top -f"), json({{"follow", true}}));
}

TEST(shell_command, what_is_wrong_is_named) {
  EXPECT_THAT(refusal("dance"), HasSubstr("'dance'"));
  EXPECT_THAT(refusal("nodes now"), HasSubstr("'now'"));
  EXPECT_THAT(refusal("nodes --now"), HasSubstr("'--now'"));
  EXPECT_THAT(refusal("job"), HasSubstr("REQUEST"));
  EXPECT_THAT(refusal("job xyz"), HasSubstr("'xyz'"));
  EXPECT_THAT(refusal("job 12345678901234567"), HasSubstr("16"));
  EXPECT_THAT(refusal("run Hi -n"), HasSubstr("-n needs a value"));
  EXPECT_THAT(refusal("run Hi -n -1"), HasSubstr("'-1'"));
  EXPECT_THAT(refusal("run Hi --temp nan"), HasSubstr("'nan'"));
  EXPECT_THAT(refusal("run --ids 1,,2"), HasSubstr("token id"));
  EXPECT_THAT(refusal("run"), HasSubstr("PROMPT"));
  EXPECT_THAT(refusal("run Hi --ids 1"), HasSubstr("PROMPT"));
}

TEST(shell_command, completes_names_of_commands_and_options) {
  EXPECT_THAT(completions("no"), ElementsAre("nodes"));
  EXPECT_THAT(completions("nodes; jo"), ElementsAre("jobs", "job"));
  EXPECT_THAT(completions("help tr"), ElementsAre("tree"));
  EXPECT_THAT(completions("run Hi --to"), ElementsAre("--top-k", "--top-p"));
  EXPECT_THAT(completions("dance --to"), IsEmpty());
  EXPECT_EQ(completions("").size(), shell_commands().size() + 2);
}

TEST(shell_command, every_command_has_help) {
  for (const command_spec& command : shell_commands()) {
    EXPECT_THAT(help_text(), HasSubstr(std::string{command.name}));
    const auto text = help_text(command.name);
    ASSERT_TRUE(text);
    EXPECT_THAT(*text, HasSubstr(std::string{command.help}));
  }
  EXPECT_FALSE(help_text("dance"));
}

} // namespace
} // namespace ovir::apps
