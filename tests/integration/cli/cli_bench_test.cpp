// `ovir bench` as its users and scripts/bench see it: points, digests, refusals, Ctrl-C. No test
// here says how fast anything is.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(cli_bench, measures_and_names_what_it_computed) {
  const json one = ovir_json({"bench", "-t", "1", "-p", "16", "-n", "4", "-r", "2"});
  const json other =
      ovir_json({"bench", "-t", "2", "-p", "16", "-n", "4", "-r", "1", "--isa", "reference"});
  for (const char* key : {"prefill_tps", "decode_tps", "peak_rss_bytes", "bandwidth_share",
                          "read_bandwidth", "file_bytes", "kv_bytes", "weight_bytes_read"}) {
    EXPECT_GT(one[key].get<double>(), 0) << key;
  }
  EXPECT_EQ(one["runs"].size(), 2U);
  EXPECT_EQ(one["logits"], other["logits"]) << "equal speed must not hide unequal numbers";
  EXPECT_EQ(one["transcript"], other["transcript"]);
  EXPECT_GT(one["prefill"][0]["integer_share"].get<double>(), 0);
  EXPECT_EQ(one["decode"][0]["depth"], 16);
  EXPECT_TRUE(one["decode"][0]["profile"].is_null());
}

TEST(cli_bench, measures_every_combination_with_the_bits_of_each_alone) {
  const json all = ovir_json(
      {"bench", "-t", "1,2", "-p", "8,40", "-n", "3", "-b", "1,3", "--depth", "0,37", "-r", "2"});
  ASSERT_EQ(all["prefill"].size(), 8U);
  ASSERT_EQ(all["decode"].size(), 8U);
  std::map<int, json> by_depth;
  for (const json& point : all["decode"]) {
    ASSERT_EQ(point["transcripts"].size(), point["batch"].get<std::size_t>());
    const auto [first, is_new] = by_depth.emplace(point["depth"], point["transcripts"][0]);
    EXPECT_EQ(first->second, point["transcripts"][0]) << point;
    EXPECT_EQ(point["runs"].size(), 2U);
    EXPECT_GT(point["tps"].get<double>(), 0);
  }
  ASSERT_EQ(by_depth.size(), 2U);
  EXPECT_NE(by_depth[8], by_depth[45]);
  const json& three = all["decode"][1]["transcripts"];
  EXPECT_NE(three[0], three[1]) << "sequences of one batch have prompts of their own";
  // A prompt after 37 positions is the end of one of 45, however it was cut.
  const json alone = ovir_json({"bench", "-t", "1", "-p", "45", "-n", "3", "-r", "1"});
  EXPECT_EQ(by_depth[45], alone["transcript"]);
}

TEST(cli_bench, says_where_the_time_of_a_step_goes) {
  const json all = ovir_json({"bench", "-t", "2", "-p", "8", "-n", "8", "-r", "1", "--profile"});
  const json& profile = all["decode"][0]["profile"];
  double sum = profile["waiting_us"].get<double>() + profile["between_us"].get<double>() +
               profile["logits_us"].get<double>();
  for (const auto& [name, spent] : profile["operations"].items()) {
    sum += spent["us"].get<double>();
  }
  const double step = profile["step_us"];
  EXPECT_NEAR(sum, step, 0.05 * step);
  std::uint64_t bytes = 0;
  for (const char* name :
       {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "head"}) {
    ASSERT_TRUE(profile["operations"].contains(name)) << name;
    bytes += profile["operations"][name]["bytes"].get<std::uint64_t>();
  }
  EXPECT_EQ(bytes, all["weight_bytes_read"]);
  for (const char* name : {"attend", "norm", "quantize", "swiglu"}) {
    EXPECT_TRUE(profile["operations"].contains(name)) << name;
  }
}

TEST(cli_bench, measures_prefill_alone_when_nothing_is_decoded) {
  const json all = ovir_json({"bench", "-p", "8", "-n", "0", "-r", "1"});
  EXPECT_GT(all["prefill_tps"].get<double>(), 0);
  EXPECT_TRUE(all["decode"].empty());
  EXPECT_FALSE(all.contains("decode_tps"));
}

TEST(cli_bench, prints_a_line_per_point_for_people) {
  const child_result child =
      run_ovir({"bench", "-t", "1", "-p", "8,16", "-n", "2", "-b", "1,2", "-r", "1"});
  EXPECT_EQ(child.exit_code, 0) << child.err;
  EXPECT_EQ(child.err, "");
  for (const char* part : {"prefill      8 tokens", "prefill     16 tokens", " 1 x ", " 2 x ",
                           "of only reading", "of only multiplying", "transcript "}) {
    EXPECT_THAT(child.out, HasSubstr(part));
  }
}

TEST(cli_bench, refuses_what_it_cannot_measure) {
  const auto refused_with = [](std::vector<std::string> arguments, const std::string& what) {
    arguments.insert(arguments.begin(), "bench");
    const child_result child = run_ovir(arguments);
    EXPECT_EQ(child.exit_code, 2) << child.out;
    EXPECT_THAT(child.err, HasSubstr(what));
    EXPECT_TRUE(is_one_line(child.err)) << child.err;
  };
  refused_with({"--depth", "400", "-p", "100", "-n", "32"}, "ask for less");
  refused_with({"-p", "16,500", "--depth", "0,20"}, "make 520 positions");
  refused_with({"-p", "16,x"}, "-p");
  refused_with({"-p", "0"}, "-p");
  refused_with({"-b", "65"}, "-b");
  refused_with({"-t", "0"}, "-t");
  refused_with({"--depth", "-1"}, "--depth");
  refused_with({"--depth", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16"}, "a list of 17 values");
}

TEST(cli_bench, ends_cleanly_on_ctrl_c) {
  // Its first line of progress says that it is under way; the rest would take minutes.
  child_process child{
      {"/bin/sh", "-c",
       "exec " + ovir_program() + " bench --isa reference -t 1 -p 64 -n 400 -r 1000 2>&1"}};
  EXPECT_THAT(child.wait_for_output(12), HasSubstr("measuring"));
  child.send_signal(SIGINT);
  const child_result result = child.wait();
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.out, HasSubstr("interrupted before the measurement was complete"));
}

} // namespace
} // namespace ovir::test
