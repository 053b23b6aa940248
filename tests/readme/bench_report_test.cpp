// What `scripts/bench` makes of a journal: verdicts, tables and plots, against files that were
// looked at by people. To change them on purpose: scripts/bench --report --results
// tests/golden/bench_report/results.jsonl --out FOLDER, look, and copy (the page as tables.txt).
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class bench_report : public ::testing::Test {
protected:
  void SetUp() override {
    if (run_child({"/bin/sh", "-c", "command -v node"}).exit_code != 0) {
      GTEST_SKIP() << "needs Node.js: scripts/setup bench";
    }
  }

  child_result report(const std::string& journal) const {
    return run_child({source_file("scripts/bench").string(), "--report", "--results", journal,
                      "--out", folder_.path().string()});
  }
  [[nodiscard]] std::string written(const std::string& name) const {
    return read_file(folder_.path() / name);
  }

  const std::string golden_ = source_file("tests/golden/bench_report").string() + "/";
  temporary_folder folder_;
};

TEST_F(bench_report, judges_every_line_of_a_journal) {
  const child_result child = report(golden_ + "results.jsonl");
  EXPECT_EQ(child.exit_code, 1) << "a goal is missed: " << child.err;
  const auto line = [&](const std::string& id) {
    const std::size_t at = child.out.find(id + " ");
    return at == std::string::npos ? std::string{}
                                   : child.out.substr(at, child.out.find('\n', at) - at);
  };
  // The fourth round is disturbed: with it the median would be another one.
  EXPECT_THAT(line("decode-q4_k_m-t2"), HasSubstr("1.26 (1.20 to 1.32)"));
  EXPECT_THAT(line("decode-q4_k_m-t2"), HasSubstr("reached"));
  EXPECT_THAT(line("decode-q8_0-t2"), HasSubstr("no verdict, without ik_llama.cpp"));
  EXPECT_THAT(line("prefill-512-q4_k_m"), HasSubstr("MISSED"));
  EXPECT_THAT(line("batch-8"), HasSubstr("reached"));
  EXPECT_THAT(line("memory-q4_k_m"), HasSubstr("MISSED"));
  EXPECT_THAT(line("depth"), HasSubstr("no verdict")) << "two rounds are too few";
  EXPECT_THAT(line("exact-decode-q8_0"), HasSubstr("not measured"));
}

TEST_F(bench_report, leaves_out_a_round_in_which_memory_changed_its_speed) {
  const std::string run = R"("case":"q4_k_m-t2","round":1,"side":"ovir",)";
  const std::string steady = R"("readings":[30e9,31e9],)";
  const std::string unsteady = R"("readings":[30e9,40e9],)";
  for (const std::string& readings : {steady, unsteady}) {
    std::string text = read_file(golden_ + "results.jsonl");
    text.insert(text.find(run) + run.size(), readings);
    const std::string journal = (folder_.path() / "read.jsonl").string();
    write_file(journal, text);
    // Two rounds of three are too few.
    const std::string verdict = readings == steady ? "reached" : "no verdict";
    EXPECT_THAT(report(journal).out,
                ::testing::ContainsRegex("decode-q4_k_m-t2 [^\n]*  " + verdict));
  }
}

TEST_F(bench_report, writes_the_tables_and_plots_that_people_looked_at) {
  EXPECT_EQ(report(golden_ + "results.jsonl").exit_code, 1);
  EXPECT_EQ(written("tables.md"), read_file(golden_ + "tables.txt"));
  for (const char* plot : {"decode-t2.svg", "roofline.svg", "step.svg"}) {
    EXPECT_EQ(written(plot), read_file(golden_ + plot)) << plot;
  }
}

TEST_F(bench_report, leaves_out_what_a_crash_tore_but_not_what_somebody_changed) {
  std::string text = read_file(golden_ + "results.jsonl");
  const std::string torn = (folder_.path() / "torn.jsonl").string();
  write_file(torn, text + R"({"kind":"run","case":"q4_)");
  EXPECT_EQ(report(torn).exit_code, 1);
  EXPECT_EQ(written("tables.md"), read_file(golden_ + "tables.txt"));
  text.insert(text.find('\n') + 1, "{\n");
  write_file(torn, text);
  const child_result changed = report(torn);
  EXPECT_EQ(changed.exit_code, 4);
  EXPECT_THAT(changed.err, HasSubstr("line 2"));
}

TEST_F(bench_report, ends_with_an_error_when_two_runs_computed_other_numbers) {
  std::string text = read_file(golden_ + "results.jsonl");
  text.replace(text.find(R"("digest":"aa")"), 13, R"("digest":"ab")");
  const std::string other = (folder_.path() / "other.jsonl").string();
  write_file(other, text);
  const child_result child = report(other);
  EXPECT_EQ(child.exit_code, 1);
  EXPECT_THAT(child.err, HasSubstr("run ovir doctor"));
  EXPECT_THAT(child.out, Not(HasSubstr("reached")));
}

TEST_F(bench_report, refuses_lines_and_options_that_do_not_exist) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--only", "decode-q9", "--list"},
        {"--rounds", "0"},
        {"--boots"},
        {"--noise-max", "some"},
        {"--ovir"}}) {
    std::vector<std::string> command{source_file("scripts/bench").string()};
    command.insert(command.end(), arguments.begin(), arguments.end());
    const child_result child = run_child(command);
    EXPECT_EQ(child.exit_code, 2) << arguments[0] << child.out;
    EXPECT_TRUE(is_one_line(child.err)) << child.err;
  }
  const child_result none = report("/no/such/journal");
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_THAT(none.err, HasSubstr("measure first"));
}

TEST(bench_measured, passes_everything_on_and_says_what_others_used) {
  const std::string program = source_file("bench/measured").string();
  const child_result child =
      run_child({"/bin/sh", "-c", "'" + program + "' sh -c 'echo out; echo err >&2; exit 7' 3>&1"});
  EXPECT_EQ(child.exit_code, 7);
  EXPECT_EQ(child.err, "err\n");
  EXPECT_THAT(child.out, ::testing::MatchesRegex("out\n[0-9]+\\.[0-9][0-9]\n"));
}

} // namespace
} // namespace ovir::test
