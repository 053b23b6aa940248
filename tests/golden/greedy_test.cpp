// Greedy continuations against llama.cpp's, through the real program. The F32 and F16 models must
// agree to the last id; quantised ones may part where two logits are close, because exact-1
// quantises activations in its own, more accurate way.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using nlohmann::json;

struct golden_case {
  const char* vector;
  const char* model;
};

class greedy : public ::testing::TestWithParam<golden_case> {};

TEST_P(greedy, ids_equal_those_of_the_vector) {
  OVIR_SHARED_FILE(vector_path, std::string{"vectors/"} + GetParam().vector);
  OVIR_SHARED_FILE(model_path, std::string{"models/"} + GetParam().model);
  const json vector = json::parse(read_file(vector_path));
  const json told = ovir_json({"run", "-m", model_path, "-p", vector["prompt"], "-n",
                               std::to_string(vector["greedy_ids"].size()), "--stages", "2"});
  EXPECT_EQ(told["prompt_tokens"], vector["prompt_ids"]);
  EXPECT_EQ(told["tokens"], vector["greedy_ids"]);
}

INSTANTIATE_TEST_SUITE_P(
    models, greedy,
    ::testing::Values(golden_case{"stories260K-f32.greedy.json", "stories260K-f32.gguf"},
                      golden_case{"tales-f16.greedy.json", "tales/tales-f16.gguf"},
                      golden_case{"tales-f16.fox.greedy.json", "tales/tales-f16.gguf"},
                      golden_case{"tales-f16.chat.greedy.json", "tales/tales-f16.gguf"}));

} // namespace
} // namespace ovir::test
