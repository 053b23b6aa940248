// ovir run again: prefixes and answers from the store of a state folder, in processes that share
// nothing else. Whatever is found, evicted, damaged or lost, the bytes told are those of a run that
// computed everything.
#include "compute/make/synth.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

constexpr std::uint32_t layers = 8;

class cli_reuse : public ::testing::Test {
protected:
  cli_reuse() {
    compute::synth_spec spec;
    spec.layers = layers;
    spec.dim = 128;
    spec.ffn_dim = 256;
    spec.context = 1'024;
    spec.vocabulary = 320;
    spec.quantization = compute::synth_quantization::q8_0;
    write_file(folder_.path() / "model.gguf", synthetic_model(spec));
    for (int i = 0; i < 260; ++i) { // a token per byte, or nearly
      prompt_ += static_cast<char>('a' + i * 7 % 26);
    }
  }

  [[nodiscard]] child_options home() const {
    child_options options;
    options.environment["OVIR_HOME"] = folder_.path() / "home";
    return options;
  }
  [[nodiscard]] std::vector<std::string> arguments(const std::string& prompt,
                                                   std::vector<std::string> more) const {
    std::vector<std::string> all{"run",       "-m", folder_.path() / "model.gguf", "-p", prompt,
                                 "--threads", "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  [[nodiscard]] json run(const std::string& prompt, std::vector<std::string> more) const {
    return ovir_json(arguments(prompt, std::move(more)), home());
  }
  static std::uint64_t reused(const json& told) {
    return told["units"]["memory"].get<std::uint64_t>() +
           told["units"]["disk"].get<std::uint64_t>() + told["units"]["peer"].get<std::uint64_t>();
  }
  static void expect_same(const json& told, const json& expected) {
    for (const char* key : {"text", "prompt_tokens", "tokens", "transcript", "finish_reason"}) {
      EXPECT_EQ(told[key], expected[key]) << key;
    }
    EXPECT_EQ(reused(told) + told["units"]["computed"].get<std::uint64_t>(),
              told["units"]["needed"]);
  }
  [[nodiscard]] json stats() const { return ovir_json({"cache", "stats"}, home()); }

  /// Flips a bit in every `stride`th block of the disk.
  std::size_t damage(std::size_t stride) const {
    const auto path = folder_.path() / "home/store/blocks";
    const std::uint64_t blocks = std::filesystem::file_size(path) / 4'096;
    std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
    std::size_t damaged = 0;
    for (std::uint64_t block = stride / 2; block < blocks; block += stride, ++damaged) {
      const auto at = static_cast<std::streamoff>(block * 4'096 + 200);
      file.seekg(at);
      const char old = static_cast<char>(file.get());
      file.seekp(at);
      file.put(static_cast<char>(old ^ 4));
    }
    return damaged;
  }

  temporary_folder folder_;
  std::string prompt_;
};

TEST_F(cli_reuse, every_cut_uses_what_any_other_computed) {
  const json cold = run(prompt_, {"-n", "40", "--no-cache"});
  EXPECT_EQ(reused(cold), 0U);
  EXPECT_EQ(run(prompt_, {"-n", "40", "--stages", "2"})["units"]["computed"],
            cold["units"]["needed"]);
  const std::uint64_t prefix = (cold["prompt_tokens"].size() - 1) / 32 * layers;
  for (const char* stages : {"1", "2", "3", "8"}) {
    SCOPED_TRACE(stages);
    // Another seed each time: the same prefix, never the same answer.
    const std::vector<std::string> drawn{"-n", "40", "--temp", "0.9", "--seed", stages};
    std::vector<std::string> reusing = drawn;
    reusing.insert(reusing.end(), {"--stages", stages});
    std::vector<std::string> computing = drawn;
    computing.emplace_back("--no-cache");
    const json told = run(prompt_, reusing);
    expect_same(told, run(prompt_, computing));
    EXPECT_GE(reused(told), prefix);
    EXPECT_EQ(told["units"]["disk"], reused(told)); // a process has no memory of another
    EXPECT_EQ(told["answer_reused"], false);
  }
}

TEST_F(cli_reuse, the_same_request_again_is_told_without_computing) {
  const json cold = run(prompt_, {"-n", "40", "--no-cache"});
  expect_same(run(prompt_, {"-n", "40"}), cold);
  for (const char* stages : {"1", "3"}) {
    const json again = run(prompt_, {"-n", "40", "--stages", stages});
    expect_same(again, cold);
    EXPECT_EQ(again["answer_reused"], true);
    EXPECT_EQ(again["units"]["computed"], 0);
  }
  const child_result text = run_ovir(arguments(prompt_, {"-n", "40"}), home());
  EXPECT_EQ(text.out, cold["text"].get<std::string>() + "\n");
  EXPECT_THAT(text.err, HasSubstr("the whole answer"));
  // A record for the auditor is the same, too.
  const auto transcript = [&](const std::string& name, const char* option) {
    const std::string path = folder_.path() / name;
    static_cast<void>(run(prompt_, {"-n", "40", "--transcript", path, option}));
    return read_file(path);
  };
  EXPECT_EQ(transcript("a", "--prefill-chunk=64"), transcript("b", "--no-cache"));
}

TEST_F(cli_reuse, longer_answers_go_on_where_shorter_ones_ended) {
  static_cast<void>(run(prompt_, {"-n", "70"}));
  for (const char* count : {"100", "20"}) {
    const json told = run(prompt_, {"-n", count, "--stages", "2"});
    expect_same(told, run(prompt_, {"-n", count, "--no-cache"}));
    EXPECT_GT(reused(told), 0U);
  }
}

TEST_F(cli_reuse, chance_without_a_seed_is_neither_kept_nor_told_again) {
  const std::vector<std::string> by_chance{"-n", "20", "--temp", "1"};
  const json first = run(prompt_, by_chance);
  const json second = run(prompt_, by_chance);
  EXPECT_EQ(second["answer_reused"], false);
  EXPECT_NE(first["seed"], second["seed"]);
  EXPECT_EQ(stats()["kinds"]["results"]["entries"], 0);
  EXPECT_GT(reused(second), 0U); // its prompt is
}

TEST_F(cli_reuse, evicting_all_the_time_changes_no_bit) {
  for (const std::string disk : {"0", "40K", "150K"}) {
    for (int i = 0; i < 3; ++i) {
      SCOPED_TRACE(disk);
      // Never the same twice, which would be told again.
      const std::string prompt = prompt_ + disk + std::to_string(i);
      const json told =
          run(prompt, {"-n", "40", "--cache-disk", disk, "--cache-memory", "0", "--stages", "3"});
      EXPECT_GT(told["units"]["computed"], 0);
      expect_same(told, run(prompt, {"-n", "40", "--no-cache"}));
    }
  }
  EXPECT_GT(stats()["kinds"]["kv"]["stored"], 0);
}

TEST_F(cli_reuse, damaged_blocks_are_counted_and_computed_again) {
  static_cast<void>(run(prompt_, {"-n", "200"}));
  std::uint64_t damaged = 0;
  for (int round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    EXPECT_GE(damage(round == 0 ? 100 : 9), 1U);
    const std::string n = std::to_string(201 + round);
    const json told = run(prompt_, {"-n", n, "--stages", "2"});
    expect_same(told, run(prompt_, {"-n", n, "--no-cache"}));
    damaged = 0;
    const json kinds = stats()["kinds"];
    for (const auto& [kind, numbers] : kinds.items()) {
      damaged += numbers["damaged"].get<std::uint64_t>();
    }
  }
  EXPECT_GE(damaged, 1U);
}

TEST_F(cli_reuse, what_was_kept_before_a_kill_is_used_after_it) {
  const json cold = run(prompt_, {"-n", "300", "--no-cache"});
  static_cast<void>(run(prompt_, {"-n", "70"})); // told to be kept, so a kill must not lose it
  std::vector<std::string> command = arguments(prompt_, {"-n", "300"});
  command.insert(command.begin(), ovir_program());
  std::uint64_t found = 0;
  for (const std::size_t bytes : {20U, 60U, 150U}) {
    child_process child{command, home()};
    static_cast<void>(child.wait_for_output(bytes));
    child.send_signal(SIGKILL);
    static_cast<void>(child.wait());
    EXPECT_EQ(ovir_json({"cache", "verify"}, home())["ok"], true);
    found = stats()["kinds"]["kv"]["entries"];
  }
  EXPECT_GT(found, 0U);
  const json told = run(prompt_, {"-n", "300"});
  expect_same(told, cold);
  EXPECT_GT(reused(told), 0U);
}

TEST_F(cli_reuse, a_folder_in_use_or_out_of_reach_costs_the_cache_and_nothing_else) {
  const json cold = run(prompt_, {"-n", "30", "--no-cache"});
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "home"));
  child_options nowhere = home();
  nowhere.environment["OVIR_HOME"] = folder_.path() / "model.gguf";
  const child_result told = run_ovir(arguments(prompt_, {"-n", "30", "--json"}), nowhere);
  EXPECT_EQ(told.exit_code, 0);
  EXPECT_THAT(told.err, HasSubstr("nothing is reused or kept"));
  expect_same(json::parse(told.out), cold);
}

TEST_F(cli_reuse, a_full_disk_costs_the_cache_and_nothing_else) {
  const json cold = run(prompt_, {"-n", "60", "--no-cache"});
  child_options full = home();
  full.file_bytes_max = 100'000;
  const child_result told = run_ovir(arguments(prompt_, {"-n", "60", "--json"}), full);
  EXPECT_EQ(told.exit_code, 0) << told.err;
  expect_same(json::parse(told.out), cold);
  EXPECT_THAT(told.err, HasSubstr("note: "));
}

TEST_F(cli_reuse, a_changed_model_file_is_another_model) {
  static_cast<void>(run(prompt_, {"-n", "30"}));
  compute::synth_spec spec;
  spec.layers = layers;
  spec.dim = 128;
  spec.ffn_dim = 256;
  spec.context = 1'024;
  spec.vocabulary = 320;
  spec.quantization = compute::synth_quantization::q8_0;
  spec.seed = 2;
  write_file(folder_.path() / "model.gguf", synthetic_model(spec));
  const json told = run(prompt_, {"-n", "30"});
  EXPECT_EQ(reused(told), 0U);
  expect_same(told, run(prompt_, {"-n", "30", "--no-cache"}));
  // The same model under another name is the same model.
  std::filesystem::copy_file(folder_.path() / "model.gguf", folder_.path() / "copy.gguf");
  std::filesystem::rename(folder_.path() / "copy.gguf", folder_.path() / "model.gguf");
  EXPECT_EQ(run(prompt_, {"-n", "30"})["answer_reused"], true);
}

TEST(cli_reuse_real, a_model_of_8_layers_reuses_a_chat_cut_another_way) {
  OVIR_SHARED_FILE(model, "models/minimind2-small-q8_0.gguf");
  const temporary_folder folder;
  child_options home;
  home.environment["OVIR_HOME"] = folder.path();
  const auto run = [&](const std::string& prompt, std::vector<std::string> more) {
    std::vector<std::string> all{"run", "-m", model, "-p", prompt, "-n", "40", "--threads", "1"};
    all.insert(all.end(), more.begin(), more.end());
    return ovir_json(all, home);
  };
  std::string chat = "<|im_start|>system\nYou are a helpful assistant who answers at length and "
                     "with many examples, in plain words, and never repeats itself without need. "
                     "When asked for a story, tell one with animals.<|im_end|>\n"
                     "<|im_start|>user\nTell me a story about a fox.<|im_end|>\n"
                     "<|im_start|>assistant\n";
  const json first = run(chat, {"--stages", "2"});
  chat += first["text"].get<std::string>() + "<|im_end|>\n<|im_start|>user\nAnd then?<|im_end|>\n"
                                             "<|im_start|>assistant\n";
  const json second = run(chat, {"--stages", "3"});
  const json cold = run(chat, {"--no-cache"});
  EXPECT_EQ(second["tokens"], cold["tokens"]);
  EXPECT_EQ(second["transcript"], cold["transcript"]);
  EXPECT_GE(second["units"]["disk"].get<std::uint64_t>(),
            (first["prompt_tokens"].size() - 1) / 32 * 8);
  EXPECT_EQ(second["units"]["disk"].get<std::uint64_t>() +
                second["units"]["computed"].get<std::uint64_t>(),
            second["units"]["needed"]);
}

TEST_F(cli_reuse, what_was_reused_is_explained_and_added_up) {
  const auto told = [this](const std::vector<std::string>& more) {
    std::vector<std::string> all{"-n", "40", "--explain-cache"};
    all.insert(all.end(), more.begin(), more.end());
    return run_ovir(arguments(prompt_, all), home()).err;
  };
  EXPECT_THAT(told({}), HasSubstr("cache: 0 units found"));
  EXPECT_THAT(told({}),
              HasSubstr("cache: the whole answer was kept from an earlier time, on the disk"));
  EXPECT_THAT(told({"--temp", "0.9", "--seed", "1"}), HasSubstr("on the disk, 0 at other nodes)"));
  EXPECT_THAT(told({"--no-cache"}), HasSubstr("cache: nothing is looked up or kept"));
  const json saved = stats();
  EXPECT_GE(saved["units_avoided"], 7 * layers);
  EXPECT_GT(saved["bytes_moved"], 0);
  EXPECT_GT(saved["seconds_saved"], 0);
}

} // namespace
} // namespace ovir::test
