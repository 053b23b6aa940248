#include "apps/ovir/node/node_log.hpp"
#include "messages/limits/general.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sstream>
#include <thread>

namespace ovir::apps {
namespace {

using actors::log_level;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
namespace fs = std::filesystem;

/// A log in a folder of its own, with a clock that the test moves.
class node_log_in_a_folder : public ::testing::Test {
protected:
  node_log_options options(std::uint64_t bytes_max = 1U << 20U, std::uint32_t files_max = 3) {
    node_log_options given{file_.string(), bytes_max, files_max};
    given.now = [this] { return now_; };
    return given;
  }

  std::unique_ptr<node_log> open(node_log_options given) {
    auto opened = node_log::open(std::move(given));
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? std::move(opened).value() : nullptr;
  }

  [[nodiscard]] std::string written() const { return test::read_file(file_); }

  test::temporary_folder folder_;
  fs::path file_{folder_.path() / "logs" / "node.log"};
  /// 2026-03-01, 08:30:00.123 UTC
  std::chrono::system_clock::time_point now_{std::chrono::milliseconds{1'772'353'800'123}};
};

TEST_F(node_log_in_a_folder, writes_time_level_request_and_text) {
  const auto log = open(options());
  log->write(log_level::info, request_id{0xab}, "ready");
  log->say(log_level::error, std::nullopt, "{} of {}", 1, 2);
  EXPECT_EQ(written(), "2026-03-01T08:30:00.123Z info  00000000000000ab ready\n"
                       "2026-03-01T08:30:00.123Z error - 1 of 2\n");
}

TEST_F(node_log_in_a_folder, leaves_out_what_is_lighter_than_its_level) {
  const auto log = open(options());
  log->write(log_level::debug, std::nullopt, "unseen");
  log->set_level(log_level::debug);
  EXPECT_EQ(log->level(), log_level::debug);
  log->write(log_level::debug, std::nullopt, "seen");
  log->set_level(log_level::error);
  log->write(log_level::warn, std::nullopt, "unseen");
  EXPECT_THAT(written(), MatchesRegex("[^\n]*debug - seen\n"));
}

TEST_F(node_log_in_a_folder, keeps_what_a_peer_says_on_one_printable_line) {
  const auto log = open(options());
  log->write(log_level::warn, std::nullopt, "it said \"\n2026 info - all is well\x1b[2J\xff\"");
  EXPECT_THAT(written(), EndsWith("warn  - it said \"\\n2026 info - all is well\\x1b[2J\\xff\"\n"));
}

TEST_F(node_log_in_a_folder, writes_an_object_a_line_where_it_is_json) {
  node_log_options given = options();
  given.format = log_format::as_json;
  given.node = "one";
  const auto log = open(given);
  log->write(log_level::info, request_id{0xab}, "ready");
  actors::part_log part{*log, "paths"};
  part.say(log_level::warn, std::nullopt, "it said \"{}\"", "a\nb\xff");
  part.say(log_level::debug, std::nullopt, "unseen");
  EXPECT_EQ(written(), "{\"time\":\"2026-03-01T08:30:00.123Z\",\"level\":\"info\",\"node\":\"one\","
                       "\"request\":\"00000000000000ab\",\"message\":\"ready\"}\n"
                       "{\"time\":\"2026-03-01T08:30:00.123Z\",\"level\":\"warn\",\"node\":\"one\","
                       "\"part\":\"paths\",\"message\":\"it said \\\"a\\\\nb\\\\xff\\\"\"}\n");
}

TEST_F(node_log_in_a_folder, rotates_and_is_opened_anew_where_it_is_json) {
  node_log_options given = options(1'000, 3);
  given.format = log_format::as_json;
  const auto log = open(given);
  for (int i = 0; i < 60; ++i) {
    log->say(log_level::info, std::nullopt, "line {}", i);
  }
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator{file_.parent_path()}) {
    ++files;
    std::istringstream lines{test::read_file(entry.path())};
    for (std::string line; std::getline(lines, line);) {
      EXPECT_TRUE(nlohmann::json::accept(line)) << line;
    }
  }
  EXPECT_EQ(files, 3U);
  fs::rename(file_, file_.string() + ".moved");
  EXPECT_TRUE(log->reopen());
  log->write(log_level::info, std::nullopt, "anew");
  EXPECT_THAT(written(), HasSubstr("\"anew\""));
}

TEST_F(node_log_in_a_folder, takes_braces_as_they_are) {
  const auto log = open(options());
  log->write(log_level::info, std::nullopt, "{} {0} %v");
  EXPECT_THAT(written(), EndsWith(" - {} {0} %v\n"));
}

TEST_F(node_log_in_a_folder, cuts_a_line_without_end) {
  const auto log = open(options());
  log->write(log_level::info, std::nullopt, std::string(1U << 20U, 'x'));
  EXPECT_LT(written().size(), limits::log_line_bytes_max + 100);
  EXPECT_THAT(written(), EndsWith("xxx...\n"));
}

TEST_F(node_log_in_a_folder, never_has_more_files_or_bytes_than_it_may) {
  const auto log = open(options(1'000, 3));
  for (int i = 0; i < 500; ++i) {
    log->say(log_level::info, std::nullopt, "line {}", i);
  }
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator{file_.parent_path()}) {
    names.push_back(entry.path().filename());
    EXPECT_LE(entry.file_size(), 1'000U);
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("node.log", "node.1.log", "node.2.log"));
  EXPECT_THAT(written(), EndsWith("line 499\n"));
  EXPECT_EQ(log->lines_lost(), 0U);
}

TEST_F(node_log_in_a_folder, can_do_with_a_single_file) {
  const auto log = open(options(1'000, 1));
  for (int i = 0; i < 100; ++i) {
    log->say(log_level::info, std::nullopt, "line {}", i);
  }
  EXPECT_LE(written().size(), 1'000U);
  EXPECT_THAT(written(), EndsWith("line 99\n"));
  EXPECT_FALSE(fs::exists(file_.parent_path() / "node.1.log"));
}

TEST_F(node_log_in_a_folder, goes_on_where_it_stopped) {
  open(options())->write(log_level::info, std::nullopt, "before");
  open(options())->write(log_level::info, std::nullopt, "after");
  EXPECT_THAT(written(), MatchesRegex("[^\n]* before\n[^\n]* after\n"));
}

TEST_F(node_log_in_a_folder, begins_a_new_file_when_the_old_one_was_moved_away) {
  const auto log = open(options());
  log->write(log_level::info, std::nullopt, "first");
  const fs::path moved = folder_.path() / "moved.log";
  fs::rename(file_, moved);
  log->write(log_level::info, std::nullopt, "second");
  ASSERT_TRUE(log->reopen());
  log->write(log_level::info, std::nullopt, "third");
  EXPECT_THAT(test::read_file(moved), EndsWith("second\n"));
  EXPECT_THAT(written(), MatchesRegex("[^\n]*third\n"));
}

TEST_F(node_log_in_a_folder, keeps_the_open_file_when_it_cannot_be_opened_anew) {
  const auto log = open(options());
  const fs::path moved = folder_.path() / "moved.log";
  fs::rename(file_, moved);
  fs::create_directory(file_); // in the way
  const auto reopened = log->reopen();
  ASSERT_FALSE(reopened);
  EXPECT_EQ(reopened.error().code, errc::io_failed);
  log->write(log_level::info, std::nullopt, "still here");
  EXPECT_THAT(test::read_file(moved), EndsWith("still here\n"));
}

TEST_F(node_log_in_a_folder, survives_a_lost_folder_and_says_what_is_missing) {
  const auto log = open(options(100, 2));
  log->write(log_level::info, std::nullopt, "first");
  const fs::path folder = file_.parent_path();
  fs::remove_all(folder);
  test::write_file(folder, "in the way"); // so that rotating finds no folder
  log->write(log_level::info, std::nullopt, std::string(90, 'x'));
  log->write(log_level::info, std::nullopt, "y");
  EXPECT_EQ(log->lines_lost(), 2U);
  fs::remove(folder);
  log->write(log_level::info, std::nullopt, "too soon to try again");
  EXPECT_EQ(log->lines_lost(), 3U);
  now_ += limits::log_retry_wait;
  log->write(log_level::info, std::nullopt, "back");
  EXPECT_EQ(log->lines_lost(), 3U);
  EXPECT_THAT(test::read_file(folder / "node.1.log") + written(),
              HasSubstr("warn  - 3 lines are missing here"));
  EXPECT_THAT(written(), EndsWith("back\n"));
}

TEST_F(node_log_in_a_folder, takes_lines_of_many_threads_whole) {
  const auto log = open(options(1U << 20U, 2));
  {
    std::vector<std::jthread> threads;
    threads.reserve(4);
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&log, t] {
        for (int i = 0; i < 200; ++i) {
          log->say(log_level::info, request_id{static_cast<std::uint64_t>(t)}, "line {} ends", i);
          if (t == 0 && i % 50 == 0) {
            EXPECT_TRUE(log->reopen());
          }
        }
      });
    }
  }
  const std::string text = written();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 800);
  EXPECT_EQ(log->lines_lost(), 0U);
  for (std::size_t at = text.find('\n'); at != std::string::npos; at = text.find('\n', at + 1)) {
    ASSERT_EQ(text.substr(at - 5, 5), " ends");
  }
}

TEST(node_log, says_which_file_cannot_be_opened) {
  const test::temporary_folder folder;
  const auto opened = node_log::open({folder.path().string(), 1'000, 2});
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, errc::io_failed);
  EXPECT_THAT(opened.error().message, HasSubstr(folder.path().string()));
  const auto none = node_log::open({(folder.path() / "n.log").string(), 1'000, 0});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, errc::invalid_argument);
}

TEST(node_log, writes_to_standard_error_without_a_file) {
  auto opened = node_log::open({"", 1'000, 2});
  ASSERT_TRUE(opened);
  ::testing::internal::CaptureStderr();
  (*opened)->write(log_level::info, std::nullopt, "hello");
  EXPECT_TRUE((*opened)->reopen());
  (*opened)->write(log_level::info, std::nullopt, "again");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              MatchesRegex("[^\n]*Z info  - hello\n[^\n]*Z info  - again\n"));
}

TEST(node_log, has_the_options_of_the_configuration) {
  supervision::node_options node;
  node.log_level = "warn";
  node.log_file = "x.log";
  const auto options = log_options_of(node);
  ASSERT_TRUE(options);
  EXPECT_EQ(options->level, log_level::warn);
  EXPECT_EQ(options->file, "x.log");
  EXPECT_EQ(options->bytes_max, node.log_bytes_max);
  EXPECT_EQ(options->files_max, node.log_files_max);
  node.log_level = "loud";
  EXPECT_FALSE(log_options_of(node));
}

} // namespace
} // namespace ovir::apps
