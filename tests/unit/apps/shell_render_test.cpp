#include "apps/ovir/shell/shell_command.hpp"
#include "apps/ovir/shell/shell_render.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::apps {
namespace {

using ::testing::HasSubstr;

TEST(shell_render, columns_are_as_wide_as_what_they_hold) {
  text_table table{{"A", ">N", "B"}};
  table.add({"x", "7", "y"});
  table.add({"\xc3\xa4\xc3\xa4\xc3\xa4", "1000", ""});
  EXPECT_EQ(table.text(), "A       N  B\n"
                          "x       7  y\n"
                          "\xc3\xa4\xc3\xa4\xc3\xa4  1000\n");
}

TEST(shell_render, a_tree_is_indented_and_shows_restarts) {
  const json data{
      {"tree",
       {{"name", "ovir"},
        {"strategy", "rest_for_one"},
        {"restart", "permanent"},
        {"restarts", 0},
        {"up", true},
        {"children",
         {{{"name", "scheduler"}, {"restart", "permanent"}, {"restarts", 2}, {"up", false}}}}}}};
  EXPECT_EQ(render("tree", data), "ovir  rest_for_one  permanent\n"
                                  "  scheduler  permanent  restarts 2  down\n");
}

TEST(shell_render, jobs_show_their_paths) {
  const json stage{{"name", "one"}, {"first_layer", 0}, {"last_layer", 3}};
  const json data{{"jobs",
                   {{{"request", "00000000000000aa"},
                     {"state", "decode"},
                     {"model", std::string(64, 'c')},
                     {"prompt_count", 5},
                     {"drawn_count", 7},
                     {"max_tokens", 128},
                     {"epoch", 2},
                     {"recoveries", 1},
                     {"age_ms", 1530},
                     {"path", {stage, stage}}}}}};
  EXPECT_EQ(render("jobs", data),
            "REQUEST           STATE   MODEL     PROMPT  TOKENS  AGE s  EPOCH  RECOVERIES  PATH\n"
            "00000000000000aa  decode  cccccccc       5   7/128    1.5      2           1  "
            "one 0-3 > one 0-3\n");
}

TEST(shell_render, what_is_missing_or_of_another_type_is_a_dash) {
  const json odd{{"nodes", {7, nullptr, {{"node", 5}, {"held", "x"}, {"roles", {1, {}}}}}},
                 {"jobs", 3},
                 {"tree", nullptr},
                 {"job", {{"path", {{{"node", {}}}}}}},
                 {"stages", {{}}},
                 {"models", {{{"holders", 1}}}},
                 {"finish_reason", nullptr},
                 {"why", 1}};
  for (const command_spec& command : shell_commands()) {
    EXPECT_FALSE(render(command.name, odd).empty());
    static_cast<void>(render(command.name, json::object()));
  }
}

TEST(shell_render, a_statement_is_a_table_that_says_how_to_go_on) {
  const json me{{"purse", "pending"}, {"of", std::string(64, 'a')}};
  const json escrow{{"purse", "escrow"}, {"of", std::string(64, 'b')}};
  const json line{{"entry", 17},
                  {"time", 5},
                  {"direction", "in"},
                  {"amount", 1'500'000U},
                  {"from", escrow},
                  {"to", me},
                  {"request", std::string(64, 'b')},
                  {"window", 2},
                  {"reason", "earned"}};
  json data{{"account", std::string(64, 'a')}, {"lines", {line}}, {"more", true}, {"next", "17+1"}};
  EXPECT_THAT(render("ledger", data), HasSubstr("pending  +1.500000  bbbbbbbb"));
  EXPECT_THAT(render("ledger", data),
              HasSubstr("it goes on: ledger statement " + std::string(64, 'a') + " 17+1\n"));
  data["next"] = nullptr;
  EXPECT_THAT(render("ledger", data), HasSubstr("there are earlier ones, from: ledger statement"));
  data["more"] = false;
  EXPECT_THAT(render("ledger", data), ::testing::Not(HasSubstr("ledger statement")));
  data["lines"][0]["direction"] = "out";
  EXPECT_THAT(render("ledger", data), HasSubstr("escrow  -1.500000"));
  EXPECT_THAT(render("ledger", json{{"free", 7}}), HasSubstr("free  7"));
}

TEST(shell_render, data_without_a_form_is_a_line_per_value) {
  EXPECT_EQ(render("drain", {{"node", "one"}, {"sessions", 2}}), "node      one\nsessions  2\n");
}

TEST(shell_render, a_deep_tree_ends) {
  json tree{{"name", "x"}};
  for (int i = 0; i < 100; ++i) {
    tree = json{{"name", "x"}, {"children", json::array({tree})}};
  }
  EXPECT_LT(render("tree", {{"tree", tree}}).size(), 1'000U);
}

TEST(shell_render, control_characters_of_answers_stay_off_the_terminal) {
  EXPECT_EQ(for_terminal("a\n\tb"), "a\n\tb");
  EXPECT_EQ(for_terminal("\x1b]0;x\x07\x7f\r"),
            "\xef\xbf\xbd]0;x\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(for_terminal("\xc2\x9b"
                         "1m \xc2\xa0"),
            "\xef\xbf\xbd"
            "1m \xc2\xa0");
}

} // namespace
} // namespace ovir::apps
