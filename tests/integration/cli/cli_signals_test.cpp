// Ctrl-C, a reader that goes away, and what is left behind.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <thread>

namespace ovir::test {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// The reference kernels take seconds for a tale, so that the signal finds it under way.
std::vector<std::string> slow_tale() {
  return {ovir_program(), "run", "-p", "Once upon a time", "-n", "400", "--isa", "reference"};
}

class ctrl_c : public ::testing::TestWithParam<int> {};

TEST_P(ctrl_c, ends_a_run_with_what_was_produced) {
  child_process child{slow_tale()};
  EXPECT_NE(child.wait_for_output(12), "");
  child.send_signal(GetParam());
  const child_result result = child.wait();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, StartsWith(", there was"));
  EXPECT_THAT(result.err, HasSubstr("ended by cancelled"));
  EXPECT_THAT(result.err, HasSubstr("transcript "));
}

INSTANTIATE_TEST_SUITE_P(signals, ctrl_c, ::testing::Values(SIGINT, SIGTERM, SIGHUP));

TEST(cli_signals, a_cancelled_transcript_still_checks) {
  const temporary_folder folder;
  const std::string file = folder.path() / "t.json";
  std::vector<std::string> arguments = slow_tale();
  arguments.insert(arguments.end(), {"--transcript", file});
  child_process child{arguments};
  EXPECT_NE(child.wait_for_output(8), "");
  child.send_signal(SIGINT);
  EXPECT_EQ(child.wait().exit_code, 0);
  const child_result checked =
      run_ovir_verify({file, "--model", source_file("assets/tales-q4_k_m.gguf")});
  EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
}

TEST(cli_signals, ends_quietly_when_the_reader_goes_away) {
  child_process child{slow_tale()};
  EXPECT_NE(child.wait_for_output(1), "");
  child.stop_reading();
  const child_result result = child.wait();
  EXPECT_EQ(result.exit_code, 0) << "signal " << result.signal << ": " << result.err;
}

TEST(cli_signals, an_interrupted_file_leaves_nothing_behind) {
  const temporary_folder folder;
  child_process child{{ovir_program(), "model", "synth", folder.path() / "big.gguf", "--preset",
                       "1.1b", "--type", "f32"}};
  while (std::filesystem::is_empty(folder.path())) {
    std::this_thread::yield();
  }
  child.send_signal(SIGINT);
  const child_result result = child.wait();
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("interrupted"));
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

} // namespace
} // namespace ovir::test
