// The smaller commands: tokenize, perplexity, model, doctor.
#include "compute/model/transcript.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string tales() { return source_file("assets/tales-q4_k_m.gguf"); }

TEST(cli_tokenize, gives_ids_and_pieces) {
  const json tokens = ovir_json({"tokenize", "-m", tales(), "Once upon a time"});
  EXPECT_EQ(tokens["ids"], json({0, 819, 536, 1001, 260, 723}));
  EXPECT_EQ(tokens["pieces"], json({"<|bos|>", "On", "ce", " upon", " a", " time"}));
  const json bare = ovir_json({"tokenize", "-m", tales(), "Once upon a time", "--no-bos"});
  EXPECT_EQ(bare["ids"], json({819, 536, 1001, 260, 723}));
}

TEST(cli_tokenize, reads_control_tokens_only_when_asked) {
  const json text = ovir_json({"tokenize", "-m", tales(), "<|eos|>", "--no-bos"});
  const json token = ovir_json({"tokenize", "-m", tales(), "<|eos|>", "--no-bos", "--special"});
  EXPECT_GT(text["ids"].size(), 1U);
  EXPECT_EQ(token["ids"], json({1}));
}

TEST(cli_tokenize, reads_a_file_and_prints_a_table) {
  const temporary_folder folder;
  write_file(folder.path() / "text", "Once\n");
  const child_result child = run_ovir({"tokenize", "-m", tales(), "-f", folder.path() / "text"});
  EXPECT_EQ(child.exit_code, 0);
  EXPECT_THAT(child.out, HasSubstr("0  \"<|bos|>\"\n"));
  EXPECT_THAT(child.out, HasSubstr("\\n"));
}

TEST(cli_perplexity, does_not_depend_on_threads_and_chunks) {
  const std::string text = source_file("assets/plots.txt");
  const json one = ovir_json({"perplexity", "-f", text, "--threads", "1"});
  const json other = ovir_json(
      {"perplexity", "-m", tales(), "-f", text, "--threads", "3", "--prefill-chunk", "7"});
  EXPECT_EQ(one["nll"], other["nll"]);
  EXPECT_EQ(one["ids"].size(), one["nll"].size() + 1);
  EXPECT_GT(one["perplexity"].get<double>(), 1);
}

TEST(cli_perplexity, says_that_it_stops_at_the_context) {
  const child_result child =
      run_ovir({"perplexity", "-f", source_file("assets/plots.txt"), "--json"});
  EXPECT_EQ(child.exit_code, 0);
  EXPECT_EQ(document_of(child)["ids"].size(), 512U);
  EXPECT_THAT(child.err, HasSubstr("the first 512 are evaluated"));
}

TEST(cli_model, writes_the_same_synthetic_model_each_time_and_runs_it) {
  const temporary_folder folder;
  const std::string first = folder.path() / "a.gguf";
  const std::string second = folder.path() / "b.gguf";
  for (const std::string& file : {first, second}) {
    const json made = ovir_json(
        {"model", "synth", file, "--layers", "3", "--type", "q8_0", "--seed", "5", "--tied"});
    EXPECT_EQ(made["bytes"], std::filesystem::file_size(file));
  }
  EXPECT_EQ(read_file(first), read_file(second));
  const json ran = ovir_json({"run", "-m", first, "-p", "abc", "-n", "4", "--stages", "3"});
  EXPECT_EQ(ran["tokens"].size(), 4U);
}

TEST(cli_model, takes_a_preset_and_lets_options_change_it) {
  const temporary_folder folder;
  const std::string file = folder.path() / "a.gguf";
  ASSERT_TRUE(
      ovir_json({"model", "synth", file, "--preset", "1.1b", "--layers", "1", "--vocab", "300"})
          .contains("bytes"));
  const json seen = ovir_json({"model", "inspect", file});
  EXPECT_EQ(seen["metadata"]["llama.embedding_length"]["value"], 2048);
  EXPECT_EQ(seen["metadata"]["llama.block_count"]["value"], 1);
  EXPECT_EQ(seen["metadata"]["llama.vocab_size"]["value"], 300);
}

TEST(cli_model, inspects_metadata_and_tensors) {
  const json seen = ovir_json({"model", "inspect", tales()});
  EXPECT_EQ(seen["version"], 3);
  EXPECT_EQ(seen["metadata"]["general.architecture"]["value"], "llama");
  EXPECT_EQ(seen["metadata"]["tokenizer.ggml.tokens"]["value"]["count"], 1024);
  const json& first = seen["tensors"][0];
  EXPECT_TRUE(first.contains("name") && first.contains("type") && first.contains("shape") &&
              first.contains("offset") && first.contains("bytes"));
  const child_result table = run_ovir({"model", "inspect", tales()});
  EXPECT_THAT(table.out, HasSubstr("general.architecture"));
  EXPECT_THAT(table.out, HasSubstr("blk.0.attn_q.weight"));
  EXPECT_THAT(table.out, HasSubstr("Q4_K"));
}

TEST(cli_model, verifies_a_file_against_its_manifest_and_names_the_damaged_chunk) {
  const temporary_folder folder;
  const std::string manifest = folder.path() / "tales.manifest";
  const std::string damaged = folder.path() / "damaged.gguf";
  ASSERT_EQ(run_ovir({"model", "manifest", tales(), "-o", manifest}).exit_code, 0);
  const json sound = ovir_json({"model", "verify", tales(), "--manifest", manifest});
  EXPECT_TRUE(sound["faults"].empty());
  const json seen = ovir_json({"model", "inspect", tales()});
  ASSERT_EQ(sound["tensors"].size(), seen["tensors"].size());

  // One bit of one weight: the file is as valid as before, but it is another model.
  std::string bytes = read_file(tales());
  const json& last = seen["tensors"].back();
  char& bad = bytes[last["offset"].get<std::size_t>() + last["bytes"].get<std::size_t>() - 1];
  bad = static_cast<char>(bad ^ 1);
  write_file(damaged, bytes);
  const child_result found = run_ovir({"model", "verify", damaged, "--manifest", manifest});
  EXPECT_EQ(found.exit_code, 1);
  EXPECT_THAT(found.err, HasSubstr("tensor " + last["name"].get<std::string>() +
                                   " differs from the manifest within bytes"));
  EXPECT_EQ(run_ovir({"model", "verify", damaged}).exit_code, 0);
}

TEST(cli_doctor, says_what_this_machine_has) {
  const json found = ovir_json({"doctor", "--threads", "1"});
  EXPECT_EQ(found["healthy"], true);
  EXPECT_EQ(found["kernels"][0]["name"], "reference");
  for (const json& kernels : found["kernels"]) {
    EXPECT_EQ(kernels["self_test"], kernels["supported"].get<bool>() ? "passed" : "not run");
  }
  for (const json& device : found["devices"]) { // none on a machine without OpenCL
    EXPECT_EQ(device["passed"].get<bool>(), device["verdict"] == "passed") << device;
  }
  EXPECT_GT(found["memory_bandwidth"]["one_thread"].get<double>(), 1e8);
  EXPECT_GT(found["memory_bytes"].get<std::uint64_t>(), 0U);
  EXPECT_EQ(found["profile"]["name"], compute::profile_name);
  EXPECT_EQ(found["versions"].size(), 4U);
}

TEST(cli_doctor, writes_a_report_without_what_is_private) {
  const temporary_folder folder;
  const std::string config = folder.path() / "node.toml";
  const std::string report = folder.path() / "report.json";
  const std::string log = folder.path() / "node.log";
  write_file(log, "warn  - 10.1.2.3:7300 cannot be reached\n");
  write_file(config, fmt::format("name = \"kitchen7\"\ncluster = \"home7\"\n"
                                 "roles = [\"scheduler\"]\nlisten = \"127.0.0.1:0\"\n"
                                 "[log]\nfile = \"{}\"\n",
                                 log));
  const child_result done =
      run_ovir({"doctor", "--threads", "1", "--report", report, "-c", config});
  ASSERT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.err, HasSubstr("Read it before you send it"));
  const std::string text = read_file(report);
  const json found = json::parse(text);
  EXPECT_EQ(found["machine"]["healthy"], true);
  EXPECT_EQ(found["node"]["roles"], json::array({"scheduler"}));
  EXPECT_EQ(found["log"][0], "warn  - … cannot be reached");
  for (const std::string word : {"kitchen7", "home7", "10.1.2.3", "127.0.0.1"}) {
    EXPECT_THAT(text, Not(HasSubstr(word)));
  }
  EXPECT_THAT(text, Not(HasSubstr(folder.path().string())));
}

} // namespace
} // namespace ovir::test
