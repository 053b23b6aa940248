// Groups within one process, on the command line.
#include "tests/support/cluster/cli.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using nlohmann::json;

TEST(group_run, prints_one_digest_over_groups_of_one_to_four) {
  std::set<std::string> transcripts;
  for (const std::vector<std::string>& how :
       {std::vector<std::string>{"--group", "1"},
        {"--group", "2", "--threads", "1"},
        {"--group", "3", "--stages", "2"},
        {"--group", "4", "--isa", "reference"},
        {"--group", "2", "--stages", "3", "--drill", "2", "--drill-seed", "7"}}) {
    std::vector<std::string> arguments{"run", "-p", "Once upon a time", "-n", "40"};
    arguments.insert(arguments.end(), how.begin(), how.end());
    const json told = ovir_json(arguments);
    ASSERT_TRUE(told.is_object()) << how[1];
    transcripts.insert(told["transcript"].get<std::string>());
  }
  EXPECT_EQ(transcripts.size(), 1U);
}

TEST(group_run, is_for_what_can_be_cut_exactly) {
  const child_result fast =
      run_ovir({"run", "-p", "Once", "--group", "2", "--profile", "fast", "-n", "1"});
  EXPECT_NE(fast.exit_code, 0);
  EXPECT_THAT(fast.err, testing::HasSubstr("leave out --profile fast"));
  EXPECT_NE(run_ovir({"run", "-p", "Once", "--group", "17"}).exit_code, 0);
}

} // namespace
} // namespace ovir::test
