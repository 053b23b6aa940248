// `ovir run` as a user meets it: the real program, the model inside it, no other file.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string story = "Once upon a time";

TEST(cli_run, tells_a_story_without_any_file) {
  const json told = ovir_json({"run", "-p", story, "-n", "40"});
  EXPECT_THAT(told["text"].get<std::string>(), StartsWith(", there was a small boy named"));
  EXPECT_EQ(told["tokens"].size(), 40U);
  EXPECT_EQ(told["prompt_tokens"].size(), 6U);
  EXPECT_EQ(told["finish_reason"], "length");
  EXPECT_EQ(told["transcript"].get<std::string>().size(), 64U);
  EXPECT_TRUE(told["receipt"].is_null());
  for (const char* key : {"prefill_tps", "decode_tps", "ttft_ms"}) {
    EXPECT_GT(told["timing"][key].get<double>(), 0) << key;
  }
  // 45 positions are two windows of each of the four layers.
  EXPECT_EQ(told["units"]["needed"], 8);
  EXPECT_EQ(told["units"]["computed"], 8);
  for (const char* key : {"memory", "disk", "peer"}) {
    EXPECT_EQ(told["units"][key], 0) << key;
  }
}

TEST(cli_run, gives_the_text_to_standard_output_and_the_picture_to_standard_error) {
  const child_result child = run_ovir({"run", "-p", story, "-n", "12", "--stages", "3"});
  EXPECT_EQ(child.exit_code, 0);
  EXPECT_THAT(child.out, StartsWith(", there was"));
  EXPECT_EQ(child.out.back(), '\n');
  EXPECT_THAT(child.out, Not(HasSubstr("segment")));
  for (const char* part : {"in 3 segments", "segment 2", "embedding", "norm, head", "weights", "KV",
                           "decode", "tokens/s", "restarts", "transcript "}) {
    EXPECT_THAT(child.err, HasSubstr(part));
  }
}

TEST(cli_run, prints_one_digest_however_the_model_is_cut) {
  const json whole = ovir_json({"run", "-p", story, "-n", "40", "--threads", "1"});
  for (const std::vector<std::string>& cut :
       {std::vector<std::string>{"--stages", "2", "--threads", "2"},
        {"--stages", "4", "--threads", "3", "--prefill-chunk", "1"},
        {"--stages", "3", "--isa", "reference"},
        {"--stages", "3", "--drill", "2", "--drill-seed", "7"}}) {
    std::vector<std::string> arguments{"run", "-p", story, "-n", "40"};
    arguments.insert(arguments.end(), cut.begin(), cut.end());
    const json other = ovir_json(arguments);
    EXPECT_EQ(other["transcript"], whole["transcript"]) << cut[1] << cut[2] << cut[3];
    EXPECT_EQ(other["tokens"], whole["tokens"]);
    EXPECT_EQ(other["stages"].size(), std::stoul(cut[1]));
  }
  const json other_prompt = ovir_json({"run", "-p", story + " a", "-n", "40"});
  EXPECT_NE(other_prompt["transcript"], whole["transcript"]);
}

TEST(cli_run, guesses_tokens_and_changes_none) {
  for (const char* temperature : {"0", "0.8"}) {
    const auto run = [&](const std::string& mode, const std::string& stages) {
      return ovir_json({"run", "-p", story, "-n", "120", "--temp", temperature, "--seed", "7",
                        "--speculate", mode, "--stages", stages, "--drill", "2"});
    };
    const json plain = run("off", "1");
    EXPECT_EQ(plain["speculation"]["drafted"], 0);
    for (const char* stages : {"1", "3"}) {
      const json guessed = run("on", stages);
      EXPECT_GT(guessed["speculation"]["drafted"], 0);
      EXPECT_LE(guessed["speculation"]["accepted"], guessed["speculation"]["drafted"]);
      EXPECT_EQ(guessed["tokens"], plain["tokens"]);
      EXPECT_EQ(guessed["transcript"], plain["transcript"]);
    }
    EXPECT_EQ(run("auto", "2")["transcript"], plain["transcript"]);
  }
  EXPECT_EQ(run_ovir({"run", "-p", story, "--speculate", "yes"}).exit_code, 2);
}

TEST(cli_run, survives_its_drill_and_says_so) {
  const json drilled = ovir_json({"run", "-p", story, "-n", "60", "--stages", "4", "--drill", "5"});
  const json calm = ovir_json({"run", "-p", story, "-n", "60"});
  EXPECT_EQ(drilled["restarts"], 5);
  EXPECT_EQ(calm["restarts"], 0);
  EXPECT_EQ(drilled["text"], calm["text"]);
  EXPECT_EQ(drilled["transcript"], calm["transcript"]);
}

TEST(cli_run, repeats_a_seeded_draw_and_prints_the_seed_it_drew) {
  const std::vector<std::string> sampled{
      "run", "-p",      story,  "-n",      "30",   "--temp",           "0.9", "--top-k",
      "40",  "--top-p", "0.95", "--min-p", "0.01", "--repeat-penalty", "1.1"};
  const auto with_seed = [&](const std::string& seed) {
    std::vector<std::string> arguments = sampled;
    arguments.insert(arguments.end(), {"--seed", seed});
    return ovir_json(arguments);
  };
  const json first = ovir_json(sampled);
  const json again = with_seed(std::to_string(first["seed"].get<std::uint64_t>()));
  EXPECT_EQ(again["tokens"], first["tokens"]);
  EXPECT_EQ(again["transcript"], first["transcript"]);
  EXPECT_NE(with_seed("1")["tokens"], with_seed("2")["tokens"]);
  EXPECT_NE(ovir_json(sampled)["seed"], first["seed"]);
}

TEST(cli_run, ends_before_a_stop_string) {
  const json told =
      ovir_json({"run", "-p", story, "-n", "60", "--stop", "zebra", "--stop", " boy"});
  EXPECT_EQ(told["text"], ", there was a small");
  EXPECT_EQ(told["finish_reason"], "stop");
}

TEST(cli_run, ends_where_the_story_ends) {
  const json told = ovir_json({"run", "-p", story, "-n", "400"});
  EXPECT_EQ(told["finish_reason"], "stop");
  EXPECT_LT(told["tokens"].size(), 400U);
  EXPECT_EQ(told["tokens"].back(), 1) << "the end-of-text token";
}

TEST(cli_run, reads_the_prompt_from_a_file_or_standard_input) {
  const temporary_folder folder;
  write_file(folder.path() / "prompt", story);
  const json typed = ovir_json({"run", "-p", story, "-n", "5"});
  const json from_file = ovir_json({"run", "-f", folder.path() / "prompt", "-n", "5"});
  child_options piped;
  piped.input = story;
  const json from_input = ovir_json({"run", "-f", "-", "-n", "5"}, piped);
  EXPECT_EQ(from_file["transcript"], typed["transcript"]);
  EXPECT_EQ(from_input["transcript"], typed["transcript"]);
}

TEST(cli_run, takes_the_kernels_from_the_environment) {
  child_options options;
  options.environment["OVIR_ISA"] = "reference";
  EXPECT_EQ(ovir_json({"run", "-p", story, "-n", "2"}, options)["isa"], "reference");
}

TEST(cli_run, fills_the_context_and_stops_there) {
  std::string prompt;
  for (int i = 0; i < 95; ++i) {
    prompt += "Once upon a time ";
  }
  const json whole = ovir_json({"tokenize", "-m", source_file("assets/tales-q4_k_m.gguf"), prompt});
  ASSERT_LT(whole["ids"].size(), 512U);
  // The model ends its tales before the context does, unless it may not.
  const child_result child =
      run_ovir({"run", "-p", prompt, "-n", "1000", "--repeat-penalty", "1", "--json"});
  ASSERT_EQ(child.exit_code, 0) << child.err;
  const json told = document_of(child);
  EXPECT_LE(told["prompt_tokens"].size() + told["tokens"].size(), 512U);
  EXPECT_THAT(child.err, HasSubstr("leaves room for"));
}

} // namespace
} // namespace ovir::test
