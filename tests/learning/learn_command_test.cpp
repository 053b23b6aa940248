// `ovir learn` as a program: the same bytes however it runs, however often it is killed.
#include "learning/adapter/adapter_file.hpp"
#include "learning/training/state_file.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// A small model, examples, and a place for what comes of them.
class learn_folder {
public:
  learn_folder() {
    compute::synth_spec spec;
    spec.dim = 64;
    spec.ffn_dim = 96;
    spec.quantization = compute::synth_quantization::q8_0;
    write_file(model(), synthetic_model(spec));
    std::string lines;
    for (int i = 0; i < 24; ++i) {
      lines += json{{"prompt", "Number " + std::to_string(i)},
                    {"completion", " is followed by " + std::to_string(i + 1)}}
                   .dump() +
               "\n";
    }
    write_file(data(), lines);
  }
  [[nodiscard]] std::string model() const { return folder_.path() / "model.gguf"; }
  [[nodiscard]] std::string data() const { return folder_.path() / "data.jsonl"; }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.path() / name; }
  [[nodiscard]] std::vector<std::string> command(const std::string& out,
                                                 const std::vector<std::string>& more = {},
                                                 const std::string& steps = "24") const {
    std::vector<std::string> all{"learn",   "-m",      model(), "-d",      data(), "-o",
                                 file(out), "--steps", steps,   "--batch", "3"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

private:
  temporary_folder folder_;
};

TEST(learn_command, writes_an_adapter_with_its_provenance_and_a_plot) {
  const learn_folder here;
  const json done = ovir_json(here.command(
      "a.gguf", {"--plot", here.file("loss.svg"), "--hold-back", "4", "--evaluate-every", "10"}));
  const std::string bytes = read_file(here.file("a.gguf"));
  const auto read = learning::adapter_from(std::as_bytes(std::span{bytes}));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->from.profile, "learn-1");
  EXPECT_EQ(read->from.base, done["base"]);
  EXPECT_EQ(read->from.data, done["data"]);
  EXPECT_EQ(read->from.settings, done["settings"]);
  EXPECT_EQ(read->from.steps, 24U);
  EXPECT_EQ(done["losses"].size(), 24U);
  EXPECT_EQ(done["evaluations"].size(), 4U); // at 0, 10, 20 and the end
  EXPECT_LT(done["evaluations"].back()["loss"], done["evaluations"].front()["loss"]);
  EXPECT_THAT(read_file(here.file("loss.svg")), HasSubstr("</svg>"));
  EXPECT_FALSE(std::filesystem::exists(here.file("a.gguf.state")));
}

TEST(learn_command, gives_the_same_bytes_for_threads_passes_memory_and_kernels) {
  const learn_folder here;
  const json wanted = ovir_json(here.command("a.gguf", {"--threads", "1"}))["cid"];
  for (const std::vector<std::string>& how : std::vector<std::vector<std::string>>{
           {"--threads", "2", "--pass-rows", "1"},
           {"--threads", "3", "--memory", "40", "--save-every", "1"},
           {"--isa", "reference"},
           {"--hold-back", "1", "--evaluate-every", "3"}}) {
    EXPECT_EQ(ovir_json(here.command("b.gguf", how))["cid"], wanted) << how[1];
  }
  EXPECT_NE(ovir_json(here.command("b.gguf", {"--seed", "1"}))["cid"], wanted);
}

/// The program with its notes on standard output, so that a test can wait for them.
std::unique_ptr<child_process> started(std::vector<std::string> command) {
  std::vector<std::string> all{"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>&1", ovir_program()};
  all.insert(all.end(), command.begin(), command.end());
  return std::make_unique<child_process>(all);
}

TEST(learn_command, killed_again_and_again_gives_the_bytes_of_an_undisturbed_run) {
  const learn_folder here;
  ASSERT_EQ(run_ovir(here.command("a.gguf", {}, "300")).exit_code, 0);
  kernel_random random{48};
  std::printf("seed %llu\n", static_cast<unsigned long long>(random.seed()));
  int resumed = 0;
  for (int kill = 0; kill < 10; ++kill) {
    const std::string every = std::to_string(1 + random.below(3));
    const auto child =
        started(here.command("b.gguf", {"--save-every", every, "--threads", every}, "300"));
    const std::string out = child->wait_for_output(60 + random.below(2'000));
    child->send_signal(SIGKILL);
    static_cast<void>(child->wait());
    resumed += out.find("going on at step") != std::string::npos ? 1 : 0;
  }
  const child_result last = run_ovir(here.command("b.gguf", {}, "300"));
  EXPECT_EQ(last.exit_code, 0) << last.err;
  EXPECT_EQ(read_file(here.file("b.gguf")), read_file(here.file("a.gguf")));
  EXPECT_GE(resumed, 3);
}

TEST(learn_command, interrupted_leaves_a_checkpoint_that_the_same_command_goes_on_from) {
  const learn_folder here;
  const std::vector<std::string> command =
      here.command("b.gguf", {"--save-every", "100000"}, "100000");
  const auto child = started(command);
  static_cast<void>(child->wait_for_output(400)); // a few lines of steps
  child->send_signal(SIGTERM);                    // a shell in the background ignores SIGINT for us
  const child_result done = child->wait();
  ASSERT_EQ(done.exit_code, 3) << done.out;
  EXPECT_THAT(done.out, HasSubstr("the same command goes on from"));
  EXPECT_FALSE(std::filesystem::exists(here.file("b.gguf")));
  const std::string bytes = read_file(here.file("b.gguf.state"));
  const auto state = learning::state_from(std::as_bytes(std::span{bytes}));
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_GT(state->from.steps, 0U);
  const auto again = started(command);
  const std::string wanted = "going on at step " + std::to_string(state->from.steps);
  EXPECT_THAT(again->wait_for_output(400), HasSubstr(wanted));
}

TEST(learn_command, says_in_one_sentence_what_is_wrong) {
  const learn_folder here;
  const auto expect = [&](std::vector<std::string> command, int code, const std::string& part) {
    const child_result child = run_ovir(std::move(command));
    EXPECT_EQ(child.exit_code, code) << child.err;
    EXPECT_THAT(child.err, HasSubstr(part));
  };
  write_file(here.file("bad.jsonl"), std::string{"{\"text\": \"a\"}\nno\n"});
  write_file(here.file("empty.jsonl"), std::string{"\n"});
  write_file(here.file("chat.jsonl"),
             std::string{R"({"messages": [{"role": "user", "content": "a"}]})"});
  write_file(here.file("c.gguf.state"), std::string{"GGUF and no more"});
  const auto with_data = [&](const char* name) {
    return std::vector<std::string>{"learn",         "-m", here.model(),       "-d",
                                    here.file(name), "-o", here.file("b.gguf")};
  };
  expect(with_data("bad.jsonl"), 3, "bad.jsonl: line 2: this is no JSON object");
  expect(with_data("empty.jsonl"), 3, "has 0 examples");
  expect(with_data("chat.jsonl"), 3, "line 1: ");
  expect(with_data("none.jsonl"), 3, "none.jsonl");
  expect(here.command("b.gguf", {"--rank", "0"}), 2, "--rank");
  expect(here.command("b.gguf", {"--targets", "norm"}), 2, "no matrix is called");
  expect(here.command("b.gguf", {"--hold-back", "24"}), 3, "are held back");
  expect(here.command("b.gguf", {"--memory", "1"}), 3, "MiB at least");
  expect(here.command("c.gguf"), 3, "c.gguf.state: ");
  expect(here.command("no/such/place.gguf"), 3, "place.gguf");
  EXPECT_FALSE(std::filesystem::exists(here.file("b.gguf")));
  EXPECT_EQ(run_ovir(here.command("c.gguf", {"--anew"})).exit_code, 0);
}

TEST(learn_command, trains_through_the_embedded_model_and_a_trained_one) {
  const learn_folder here;
  const child_result child = run_ovir({"learn", "-d", here.data(), "-o", here.file("a.gguf"),
                                       "--steps", "2", "--batch", "2", "--length", "32"});
  EXPECT_EQ(child.exit_code, 0) << child.err;
  OVIR_SHARED_FILE(model, "models/stories260K-q8_0.gguf");
  const json done = ovir_json({"learn", "-m", model, "-d", here.data(), "-o", here.file("b.gguf"),
                               "--steps", "60", "--rate", "0.01"});
  const json& losses = done["losses"];
  EXPECT_LT(losses.back().get<double>(), losses.front().get<double>() / 2);
}

} // namespace
} // namespace ovir::test
