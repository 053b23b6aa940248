#include "apps/ovir/node/bug_report.hpp"
#include "apps/ovir/node/node_config.hpp"
#include "messages/limits/reports.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

namespace ovir::apps {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const json no_config = json::object();

TEST(bug_report, keeps_numbers_and_the_programs_own_words_of_a_configuration) {
  const json config{{"name", "kitchen"},
                    {"roles", {"worker", "ledger"}},
                    {"listen", "10.1.2.3:7300"},
                    {"seeds", {"a.example:7300", "b.example:7300"}},
                    {"join_token_set", true},
                    {"models", {{{"path", "/srv/ann/secret.gguf"}, {"layers", {{"first", 0}}}}}},
                    {"log", {{"level", "debug"}, {"file", "/var/log/ann"}, {"max_mib", 16}}},
                    {"ledger", {{"keeper", nullptr}, {"when_away", "serve"}}}};
  const json kept = config_for_report(config);
  EXPECT_EQ(kept, (json{{"name", "(set)"},
                        {"roles", {"worker", "ledger"}},
                        {"listen", "(set)"},
                        {"seeds", 2},
                        {"join_token_set", true},
                        {"models", {{{"path", "(set)"}, {"layers", {{"first", 0}}}}}},
                        {"log", {{"level", "debug"}, {"file", "(set)"}, {"max_mib", 16}}},
                        {"ledger", {{"keeper", nullptr}, {"when_away", "serve"}}}}))
      << kept.dump(2);
}

TEST(bug_report, leaves_no_text_of_a_whole_configuration) {
  // Every option of a node that takes a text, set to one that is easy to find again.
  const std::string text = R"(name = "findme1"
cluster = "findme2"
roles = ["worker", "scheduler"]
listen = "findme3.example:7300"
advertise = "findme4.example:7300"
admin_listen = "127.0.0.1:0"
state = "/findme5"
seeds = ["findme6.example:7300"]
[[model]]
path = "/findme7.gguf"
[gateway]
listen = "127.0.0.1:0"
keys = "/findme8"
hosts = ["findme9.example"]
[log]
file = "/findme10"
)";
  const auto node = parse_node_config("/node.toml", text);
  ASSERT_TRUE(node) << node.error().message;
  const std::string kept = config_for_report(document_of(*node)).dump();
  EXPECT_THAT(kept, Not(HasSubstr("findme")));
  EXPECT_THAT(kept, Not(HasSubstr("127.0.0.1")));
  EXPECT_THAT(kept, HasSubstr("scheduler"));
}

TEST(bug_report, leaves_the_sentences_of_a_log_and_not_what_they_are_about) {
  const json config{{"name", "kitchen"}, {"log", {{"level", "info"}}}};
  EXPECT_THAT(log_for_report(
                  "info  - kitchen listens on 10.1.2.3:7300 (3 threads)\n"
                  "warn  00f1a2b3c4d5e6f7 the model 'my secret name' of a1b2c3d4 is late by 12.5 "
                  "ms, see /var/x\n"
                  "2026-11-30T12:00:00.123Z error - [2001:db8::1]:7300 cannot be reached\n",
                  config),
              ElementsAre("info  - … listens on … (3 threads)",
                          "warn  … the model … … … of … is late by 12.5 ms, see …",
                          "2026-11-30T12:00:00.123Z error - … cannot be reached"));
}

TEST(bug_report, takes_lines_of_a_json_log_apart) {
  EXPECT_THAT(
      log_for_report(
          R"({"time":"2026-11-30T12:00:00Z","level":"warn","text":"lost host-7:73","n":4})"
          "\n",
          no_config),
      ElementsAre(R"({"time":"2026-11-30T12:00:00Z","level":"warn","text":"lost …","n":4})"));
}

TEST(bug_report, knows_no_way_by_which_these_get_through) {
  const std::array<std::string_view, 14> private_words{
      "10.0.0.1",  "10.0.0.1:80",     "[fe80::1]",  "fe80::1",          "host.example",
      "host:7300", "a1b2c3d4",        "deadbeef12", "1234567890123456", "ovir-join-AAAA",
      "/srv/ann",  "ann@example.org", "'quoted'",   "\"quoted\""};
  for (const std::string_view word : private_words) {
    for (const auto* const around : {"lost {}", "{} lost", "({}), lost", "lost {}.", "{}"}) {
      const std::string line = fmt::format(fmt::runtime(around), word);
      const auto kept = log_for_report(line, no_config);
      ASSERT_EQ(kept.size(), 1U);
      EXPECT_THAT(kept.front(), Not(HasSubstr(std::string{word}))) << line;
      EXPECT_THAT(kept.front(), HasSubstr("…")) << line;
    }
  }
}

TEST(bug_report, has_the_end_of_a_long_log) {
  std::string log;
  for (std::size_t i = 0; i < 3 * limits::report_log_lines_max; ++i) {
    log += fmt::format("line {}\n", i);
  }
  const auto lines = log_for_report(log, no_config);
  ASSERT_EQ(lines.size(), limits::report_log_lines_max);
  EXPECT_EQ(lines.back(), fmt::format("line {}", 3 * limits::report_log_lines_max - 1));
}

} // namespace
} // namespace ovir::apps
