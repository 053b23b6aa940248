// Executes the commands of README.md, so that it cannot lie. They run in the source tree with the
// programs of this build; nothing is installed or built (OVIR_BIN), and `scripts/test` only lists
// its tests, because it is what runs this.
#include "compute/model/architecture.hpp"
#include "tests/readme/commands.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>

namespace ovir::test {
namespace {

struct outcome {
  int exit_code{-1};
  std::string output;
};

outcome run_in_source_tree(const std::string& command) {
  // OVIR_HOME keeps what a command leaves behind out of the user's own folders.
  const temporary_folder home;
  const std::string preset = std::filesystem::path{OVIR_BINARY_DIR}.filename().string();
  const std::string line =
      "cd '" OVIR_SOURCE_DIR "' && export OVIR_BIN='" OVIR_BINARY_DIR "/ovir' OVIR_TEST_PRESET='" +
      preset + "' OVIR_HOME='" + home.path().string() + "' && { " + command + "; } 2>&1 </dev/null";
  outcome seen;
  FILE* pipe = ::popen(line.c_str(), "r");
  if (pipe == nullptr) {
    return seen;
  }
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) {
    seen.output.append(buffer.data(), n);
  }
  const int status = ::pclose(pipe);
  seen.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return seen;
}

std::string readme() {
  std::ifstream file{source_file("README.md")};
  return {std::istreambuf_iterator<char>{file}, {}};
}

bool names(const std::vector<std::string>& commands, const std::string& command) {
  return std::find(commands.begin(), commands.end(), command) != commands.end();
}

TEST(readme, shows_the_two_commands_on_its_first_screen) {
  const std::string page = readme();
  std::size_t end = 0;
  for (int line = 0; line < 60 && end != std::string::npos; ++line) {
    end = page.find('\n', end + 1);
  }
  const auto commands = executed_commands(std::string_view{page}.substr(0, end));
  EXPECT_TRUE(names(commands, "scripts/run"));
  EXPECT_TRUE(names(commands, "scripts/test"));
}

TEST(readme, names_every_architecture) {
  const std::string page = readme();
  const std::string known{compute::architecture_names()};
  std::size_t count = 0;
  for (std::size_t at = 0; at < known.size(); ++count) {
    const std::size_t end = std::min(known.find(", ", at), known.size());
    const std::string name = known.substr(at, end - at);
    EXPECT_NE(page.find('`' + name + '`'), std::string::npos) << name;
    at = end + 2;
  }
  EXPECT_GE(count, 12U);
}

TEST(readme, says_commands_that_work) {
  const auto commands = executed_commands(readme());
  ASSERT_GE(commands.size(), 3U);
  for (const std::string& command : commands) {
    const std::string line = runnable(command, OVIR_BINARY_DIR);
    const outcome seen = run_in_source_tree(line);
    EXPECT_EQ(seen.exit_code, 0) << command << "\nrun as: " << line << "\n" << seen.output;
    EXPECT_FALSE(seen.output.empty()) << command;
  }
}

TEST(readme, runs_a_story_that_survives_a_node) {
  const outcome seen = run_in_source_tree("scripts/run");
  EXPECT_EQ(seen.exit_code, 0) << seen.output;
  EXPECT_NE(seen.output.find("Once upon a time"), std::string::npos) << seen.output;
  EXPECT_NE(seen.output.find("*** kill -9 "), std::string::npos) << seen.output;
  EXPECT_NE(seen.output.find("The text and the transcript are the same, byte for byte."),
            std::string::npos)
      << seen.output;
}

/// Who begins with the package types this much; it is run by tests/package/install.
TEST(readme, needs_less_than_two_minutes_of_typing) {
  constexpr std::string_view marker = "<!-- executed by tests/package/install -->\n```sh\n";
  constexpr std::size_t keys_a_minute = 220; // 44 words
  const std::string page = readme();
  std::size_t keys = 0;
  std::size_t blocks = 0;
  for (std::size_t at = page.find(marker); at != std::string::npos; at = page.find(marker, at)) {
    at += marker.size();
    keys += page.find("```\n", at) - at;
    ++blocks;
  }
  EXPECT_GE(blocks, 3U);
  EXPECT_LE(keys, 2 * keys_a_minute);
}

TEST(commands, come_from_marked_blocks_alone) {
  const auto found = executed_commands("```sh\nrm -rf everything\n```\n"
                                       "<!-- executed -->\n```sh\n# a comment\none\n\ntwo\n```\n"
                                       "<!-- executed -->\nsomething\n```sh\nthree\n```\n");
  EXPECT_EQ(found, (std::vector<std::string>{"one", "two"}));
}

TEST(commands, use_this_build_and_do_not_start_the_tests_again) {
  EXPECT_EQ(runnable("build/release/ovir doctor", "/b"), "/b/ovir doctor");
  EXPECT_EQ(runnable("scripts/test --no-skip", "/b"), "scripts/test --list");
  EXPECT_EQ(runnable("scripts/run", "/b"), "scripts/run");
}

TEST(front_door, every_script_explains_itself) {
  for (const auto& entry : std::filesystem::directory_iterator{source_file("scripts")}) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(".bash")) {
      continue; // sourced by the others
    }
    const outcome seen = run_in_source_tree("cd / && '" + entry.path().string() + "' --help");
    EXPECT_EQ(seen.exit_code, 0) << name << "\n" << seen.output;
    EXPECT_TRUE(seen.output.starts_with("Usage: scripts/" + name)) << name << "\n" << seen.output;
  }
}

TEST(front_door, refuses_what_it_does_not_know) {
  for (const char* command :
       {"scripts/setup boots", "scripts/build boots", "scripts/run --boots", "scripts/test boots",
        "scripts/format boots", "scripts/fuzz boots 1", "scripts/fuzz all soon",
        "scripts/check boots", "scripts/exactness boots", "scripts/cluster boots",
        "scripts/cluster kill", "scripts/soak soon"}) {
    EXPECT_EQ(run_in_source_tree(command).exit_code, 2) << command;
  }
}

} // namespace
} // namespace ovir::test
