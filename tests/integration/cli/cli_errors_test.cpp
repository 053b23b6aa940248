// Bad input: one sentence saying what, where and what to do; the right exit code; one JSON document
// where one was asked for; nothing left half-written.
#include "messages/sanitized.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int usage = 2;
constexpr int refused = 3;
constexpr int unavailable = 4;

void expect_refusal(std::vector<std::string> arguments, int exit_code, const std::string& what,
                    const child_options& options = {}) {
  const child_result plain = run_ovir(arguments, options);
  EXPECT_EQ(plain.exit_code, exit_code) << plain.err;
  EXPECT_THAT(plain.err, HasSubstr(what));
  EXPECT_THAT(plain.err, StartsWith("ovir: "));
  EXPECT_TRUE(is_one_line(plain.err)) << plain.err;
  EXPECT_EQ(plain.out, "");
  arguments.emplace_back("--json");
  const child_result as_json = run_ovir(arguments, options);
  EXPECT_EQ(as_json.exit_code, exit_code);
  const json document = document_of(as_json);
  EXPECT_THAT(document["error"]["message"].get<std::string>(), HasSubstr(what));
  EXPECT_TRUE(document["error"]["code"].is_string());
}

TEST(cli_errors, options_out_of_their_range_are_usage_errors) {
  expect_refusal({"run", "-p", "x", "-n", "0"}, usage, "not in range 1 to");
  expect_refusal({"run", "-p", "x", "-n", "many"}, usage, "--tokens");
  expect_refusal({"run", "-p", "x", "--threads", "0"}, usage, "--threads");
  expect_refusal({"run", "-p", "x", "--threads", "-3"}, usage, "--threads");
  expect_refusal({"run", "-p", "x", "--prefill-chunk", "5000"}, usage, "--prefill-chunk");
  expect_refusal({"run", "-p", "x", "--stages", "99999"}, usage, "--stages");
  expect_refusal({"run", "-p", "x", "--temp", "-1"}, usage, "temperature is -1");
  expect_refusal({"run", "-p", "x", "--temp", "nan"}, usage, "temperature");
  expect_refusal({"run", "-p", "x", "--top-p", "1.5"}, usage, "top_p is 1.5");
  expect_refusal({"run", "-p", "x", "--min-p", "1"}, usage, "min_p is 1");
  expect_refusal({"run", "-p", "x", "--repeat-penalty", "0"}, usage, "repeat_penalty is 0");
  expect_refusal({"run", "-p", "x", "--presence-penalty", "-2.5"}, usage, "presence_penalty is");
  expect_refusal({"run", "-p", "x", "--logit-bias", "7"}, usage, "logit_bias '7' is not");
  expect_refusal({"run", "-p", "x", "--logit-bias", "7=101"}, usage, "logit_bias of token 7");
  expect_refusal({"run", "-p", "x", "--isa", "sse2"}, usage, "'sse2'");
  expect_refusal({"run", "-p", "x", "--profile", "loose"}, usage, "the profiles are");
  expect_refusal({"run", "-p", "x", "--stop", ""}, usage, "stop string");
  for (const char* seed : {"-1", "18446744073709551616", "0x10", "1.5", ""}) {
    const std::string what = "is not a whole number from 0 to 18446744073709551615";
    expect_refusal({"run", "-p", "x", "--seed", seed}, usage, what);
    expect_refusal({"run", "-p", "x", "--drill-seed", seed}, usage, what);
    expect_refusal({"model", "synth", "/no/folder/x", "--seed", seed}, usage, what);
  }
  expect_refusal({"bench", "-p", "500", "-n", "500"}, usage, "ask for less");
}

TEST(cli_errors, says_which_command_or_option_is_unknown) {
  expect_refusal({}, usage, "subcommand is required");
  expect_refusal({"dance"}, usage, "no command or option 'dance'");
  expect_refusal({"model", "dance"}, usage, "ovir model has no command or option 'dance'");
  expect_refusal({"run", "-p", "x", "--swing"}, usage, "--swing");
  expect_refusal({"run"}, usage, "-p TEXT");
  expect_refusal({"run", "-p", "x", "-f", "y"}, usage, "either");
  expect_refusal({"tokenize", "x"}, usage, "--model is required");
  expect_refusal({"perplexity"}, usage, "--file is required");
  expect_refusal({"model"}, usage, "subcommand is required");
}

TEST(cli_errors, what_later_versions_do_is_refused_not_ignored) {
  expect_refusal({"model", "pull", "x"}, usage, "begins with neither https:// nor http://");
  expect_refusal({"run", "-p", "x", "--system", "y"}, usage, "give --chat too");
  expect_refusal({"run", "-p", "x", "--profile", "fast", "--stages", "2"}, usage,
                 "computes in one piece");
}

TEST(cli_errors, sizes_of_the_cache_that_are_none) {
  expect_refusal({"run", "-p", "x", "--cache-memory", "much"}, usage, "'much' is no size");
  expect_refusal({"run", "-p", "x", "--cache-disk", "-1"}, usage, "'-1' is no size");
  expect_refusal({"run", "-p", "x", "--no-cache", "--cache-disk", "20X"}, usage, "is no size");
}

TEST(cli_errors, prompts_that_cannot_be_run) {
  expect_refusal({"run", "-p", ""}, usage, "the prompt is empty");
  std::string long_prompt;
  for (int i = 0; i < 600; ++i) {
    long_prompt += " wolf";
  }
  expect_refusal({"run", "-p", long_prompt}, refused, "shorten the prompt");
  expect_refusal({"run", "-f", "/no/such/prompt"}, refused, "no such file");
  expect_refusal({"run", "-p", "x", "--stages", "5"}, usage, "has 4 layers");
}

class cli_bad_model : public ::testing::Test {
protected:
  void expect_everywhere(const std::string& model, const std::string& what) const {
    expect_refusal({"run", "-m", model, "-p", "x"}, refused, what);
    expect_refusal({"perplexity", "-m", model, "-f", source_file("README.md")}, refused, what);
    expect_refusal({"bench", "-m", model}, refused, what);
  }
  [[nodiscard]] std::string given(const std::string& name,
                                  const std::vector<std::byte>& content) const {
    write_file(folder_.path() / name, content);
    return folder_.path() / name;
  }

  temporary_folder folder_;
};

TEST_F(cli_bad_model, paths_that_hold_no_file) {
  expect_everywhere("/no/such/model.gguf", "/no/such/model.gguf: there is no such file");
  expect_everywhere(folder_.path(), "is a directory");
  expect_everywhere(given("empty.gguf", {}), "is empty");
  expect_refusal({"tokenize", "-m", folder_.path(), "x"}, refused, "is a directory");
  expect_refusal({"model", "inspect", "/no/such"}, refused, "no such file");
}

TEST_F(cli_bad_model, files_that_are_no_model) {
  expect_everywhere(source_file("README.md"), "does not begin with");
  std::vector<std::byte> whole = bytes_of_file(source_file("assets/tales-q4_k_m.gguf"));
  std::vector<std::byte> cut{whole.begin(), whole.begin() + 1'000'000};
  expect_everywhere(given("cut.gguf", cut), "cut.gguf: ");
  // The count of tensors, bytes 8 to 15, becomes absurd.
  std::fill(whole.begin() + 8, whole.begin() + 16, std::byte{0xff});
  expect_everywhere(given("absurd.gguf", whole), "absurd.gguf: ");
}

TEST_F(cli_bad_model, models_of_a_kind_this_build_does_not_know) {
  gguf_builder other = minimal_llama();
  other.remove_entry("general.architecture").text("general.architecture", "mamba");
  expect_everywhere(given("mamba.gguf", other.build()), "mamba");
  gguf_builder type = minimal_llama();
  type.remove_tensor("output_norm.weight").tensor("output_norm.weight", 26, {8});
  expect_everywhere(given("type.gguf", type.build()), "I32");
}

TEST(cli_errors, standard_output_that_cannot_be_written) {
  child_options full;
  full.out_path = "/dev/full";
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"run", "-p", "x", "-n", "4"},
        {"run", "-p", "x", "--json"},
        {"doctor"}}) {
    const child_result child = run_ovir(command, full);
    EXPECT_EQ(child.exit_code, refused);
    EXPECT_THAT(child.err, HasSubstr("standard output cannot be written"));
    EXPECT_THAT(child.err, HasSubstr("free some space"));
  }
}

TEST(cli_errors, a_full_disk_leaves_nothing_half_written) {
  const temporary_folder folder;
  child_options small_disk;
  small_disk.file_bytes_max = 100'000;
  expect_refusal({"model", "synth", folder.path() / "m.gguf"}, refused,
                 "free some space or choose another place", small_disk);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  expect_refusal({"model", "synth", folder.path() / "no" / "m.gguf"}, refused,
                 "folder does not exist");
  expect_refusal({"model", "synth", folder.path() / "m.gguf", "--dim", "100"}, usage,
                 "a head must be");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(cli_errors, an_unwritable_transcript_is_found_before_the_work) {
  expect_refusal({"run", "-p", "x", "--transcript", "/no/such/folder/t.json"}, refused,
                 "folder does not exist");
}

TEST(cli_errors, a_seed_is_decimal_also_with_zeros_before_it) {
  EXPECT_EQ(ovir_json({"run", "-p", "x", "-n", "1", "--temp", "1", "--seed", "010"})["seed"], 10);
}

TEST(cli_errors, threads_that_the_machine_refuses_are_a_sentence) {
  if (address_sanitized) {
    GTEST_SKIP() << "a sanitizer needs more address space than this test leaves";
  }
  // 256 stacks do not fit; the program itself does.
  child_options small;
  small.memory_bytes_max = std::uint64_t{600} << 20U;
  const std::vector<std::vector<std::string>> commands{
      {"run", "-p", "x"}, {"bench", "-p", "4", "-n", "1"}, {"doctor"}};
  for (std::vector<std::string> command : commands) {
    command.insert(command.end(), {"--threads", "256"});
    expect_refusal(command, unavailable, "compute threads could be started", small);
  }
}

TEST(cli_errors, no_file_takes_the_place_of_a_closed_descriptor) {
  const temporary_folder folder;
  const std::string file = folder.path() / "model.gguf";
  const std::string shell = ovir_program() + " model synth " + file + " >&- 2>&- <&-";
  const child_result child = run_child({"/bin/sh", "-c", shell});
  EXPECT_EQ(child.exit_code, refused); // nobody can hear that it was written
  const std::string again = folder.path() / "again.gguf";
  EXPECT_EQ(run_ovir({"model", "synth", again}).exit_code, 0);
  EXPECT_EQ(read_file(file), read_file(again));
  const std::string transcript = folder.path() / "t.json";
  const std::string prompt = " run -p 'Once upon' -n 4 --transcript " + transcript;
  EXPECT_EQ(run_child({"/bin/sh", "-c", ovir_program() + prompt + " 2>&-"}).exit_code, 0);
  EXPECT_EQ(run_ovir_verify({transcript}).exit_code, 0);
}

TEST(cli_help, explains_every_command_with_an_example) {
  const child_result top = run_ovir({"--help"});
  EXPECT_EQ(top.exit_code, 0);
  for (const char* command :
       {"run", "serve", "tokenize", "perplexity", "bench", "plan", "model", "doctor"}) {
    EXPECT_THAT(top.out, HasSubstr(command));
    const child_result one = run_ovir({command, "--help"});
    EXPECT_EQ(one.exit_code, 0);
    EXPECT_THAT(one.out, HasSubstr(std::string{command} == "model" ? "synth" : "Example"));
  }
  EXPECT_THAT(run_ovir({"model", "synth", "--help"}).out, HasSubstr("Example"));
  EXPECT_THAT(run_ovir({"--version"}).out, StartsWith("ovir "));
  EXPECT_THAT(run_ovir_verify({"--help"}).out, HasSubstr("Example"));
  // What is not there is not in the help either.
  EXPECT_THAT(top.out, ::testing::Not(HasSubstr("console")));
}

} // namespace
} // namespace ovir::test
