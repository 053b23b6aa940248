// `ovir run --chat` and `ovir chat` as a user meets them: the real program, the model inside it.
#include "compute/text/tokenizer.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(cli_chat, writes_the_prompt_down_as_the_models_template_says) {
  const loaded_model model{source_file("assets/tales-q4_k_m.gguf")};
  const auto vocabulary = compute::tokenizer::make(model.file()).value();
  const json told =
      ovir_json({"run", "--chat", "-p", "What sound does a cow make?", "-n", "40", "--temp", "0"});
  EXPECT_EQ(
      told["prompt_tokens"].get<std::vector<token_id>>(),
      vocabulary->encode("<|bos|>User: What sound does a cow make?\nAssistant:", {false, true})
          .value());
  EXPECT_EQ(told["finish_reason"], "stop"); // its template's end of turn
  EXPECT_THAT(told["text"].get<std::string>(), HasSubstr("oo"));
}

TEST(cli_chat, remembers_what_was_said) {
  child_options lines;
  lines.input =
      "Tell me a story about a fox.\nWho is the story about?\n\nWho is the story about?\n";
  const child_result child = run_ovir({"chat", "--temp", "0", "-n", "200"}, lines);
  ASSERT_EQ(child.exit_code, 0) << child.err;
  // The same conversation, asked for in one piece.
  const json first = ovir_json(
      {"run", "--chat", "-p", "Tell me a story about a fox.", "-n", "200", "--temp", "0"});
  // Less the blank that the model begins with, which the template writes in front of what was said.
  const auto spoken = [](const json& told) {
    const auto text = told["text"].get<std::string>();
    EXPECT_THAT(text, ::testing::StartsWith(" "));
    return text.substr(text.find_first_not_of(' '));
  };
  const std::string story = spoken(first);
  EXPECT_THAT(child.out, ::testing::StartsWith(story + "\n"));
  const std::string later = child.out.substr(story.size() + 1);
  const std::string with_story = later.substr(0, later.find('\n'));
  const json alone =
      ovir_json({"run", "--chat", "-p", "Who is the story about?", "-n", "200", "--temp", "0"});
  EXPECT_THAT(with_story, HasSubstr("fox"));
  EXPECT_THAT(child.out, ::testing::EndsWith("\n" + spoken(alone) + "\n"));
}

TEST(cli_chat, a_model_without_a_template_says_so) {
  OVIR_SHARED_FILE(file, "models/quants/tiny-llama-q8_0.gguf");
  const child_result child = run_ovir({"run", "-m", file.string(), "--chat", "-p", "x"});
  EXPECT_EQ(child.exit_code, 3);
  EXPECT_THAT(child.err, HasSubstr("no chat template"));
  EXPECT_TRUE(is_one_line(child.err));
}

TEST(cli_chat, a_real_model_answers_in_its_own_template) {
  OVIR_SHARED_FILE(file, "models/minimind2-small-q8_0.gguf");
  const json told = ovir_json({"run", "-m", file.string(), "--chat", "--system", "Be brief.", "-p",
                               "Who are you?", "-n", "24", "--temp", "0"});
  const loaded_model model{file};
  const auto vocabulary = compute::tokenizer::make(model.file()).value();
  const std::string prompt =
      vocabulary->decode(told["prompt_tokens"].get<std::vector<token_id>>(), true);
  EXPECT_THAT(prompt, HasSubstr("Be brief."));
  EXPECT_THAT(prompt, HasSubstr("Who are you?"));
  EXPECT_FALSE(told["text"].get<std::string>().empty());
}

TEST(cli_chat, a_real_model_is_talked_with) {
  OVIR_SHARED_FILE(file, "models/minimind2-small-q8_0.gguf");
  child_options lines;
  lines.input = "What is the capital of France?\n";
  const child_result child =
      run_ovir({"chat", "-m", file.string(), "-n", "64", "--temp", "0"}, lines);
  ASSERT_EQ(child.exit_code, 0) << child.err;
  EXPECT_EQ(child.out, "The capital of France is Paris.\n"); // and no control token
}

} // namespace
} // namespace ovir::test
