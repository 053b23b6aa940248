// How far exact-1 is from the truth, judged by reference vectors: llama.cpp's nll of real models,
// and for each tensor type the nll of the same weights computed in floats.
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace ovir::test {
namespace {

using nlohmann::json;

struct text_case {
  const char* model;
  const char* vector;
  const char* text;
  double mean_tolerance;
  double position_tolerance; ///< of each nll
};

class perplexity : public ::testing::TestWithParam<text_case> {};

TEST_P(perplexity, agrees_with_the_vector) {
  const text_case& expected = GetParam();
  OVIR_SHARED_FILE(vector_path, std::string{"vectors/"} + expected.vector);
  OVIR_SHARED_FILE(text_path, std::string{"vectors/"} + expected.text);
  OVIR_SHARED_FILE(model_path, std::string{"models/"} + expected.model);
  const json vector = json::parse(read_file(vector_path));
  const json measured = ovir_json({"perplexity", "-m", model_path, "-f", text_path});
  // The vectors hold the first positions of the text.
  const std::size_t count = vector["nll"].size();
  ASSERT_GE(measured["nll"].size(), count);
  double sum = 0;
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(measured["ids"][i], vector["ids"][i]) << i;
    const double nll = measured["nll"][i];
    EXPECT_NEAR(nll, vector["nll"][i].get<double>(), expected.position_tolerance) << i;
    sum += nll;
  }
  EXPECT_NEAR(sum / static_cast<double>(count), vector["mean_nll"].get<double>(),
              expected.mean_tolerance);
}

constexpr double any = std::numeric_limits<double>::infinity();

INSTANTIATE_TEST_SUITE_P(
    models, perplexity,
    ::testing::Values(
        text_case{"stories260K-f32.gguf", "stories260K-f32.nll.json", "story.txt", 0.001, 0.02},
        text_case{"stories260K-q8_0.gguf", "stories260K-q8_0.nll.json", "story.txt", 0.01, any},
        text_case{"stories15M-q8_0.gguf", "stories15M-q8_0.nll.json", "story.txt", 0.01, any},
        text_case{"tales/tales-f16.gguf", "tales-f16.nll.json", "tales.txt", 0.01, any},
        text_case{"tales/tales-q8_0.gguf", "tales-q8_0.nll.json", "tales.txt", 0.01, any},
        text_case{"tales/tales-q4_k_m.gguf", "tales-q4_k_m.nll.json", "tales.txt", 0.01, any},
        text_case{"minimind2-small-q8_0.gguf", "minimind2-small-q8_0.nll.json", "story.txt", 0.05,
                  any}));

struct type_case {
  const char* name;
  double share; ///< of llama.cpp's error that is allowed
};

class tensor_types : public ::testing::TestWithParam<type_case> {};

std::vector<double> nll_of(const loaded_model& model, const std::vector<token_id>& ids) {
  compute::serial_runner runner;
  const compute::model_config& config = model.get().config;
  const auto kernels = compute::select_kernels(std::nullopt);
  auto whole = compute::segment::make(model.get(), {0, config.layers}, **kernels, runner);
  auto state =
      (*whole)->open(static_cast<position>(ids.size()), std::numeric_limits<std::size_t>::max());
  compute::step_input in;
  in.count = static_cast<std::uint32_t>(ids.size() - 1);
  in.tokens = std::span{ids}.first(in.count);
  in.logit_rows = in.count;
  compute::step_output out;
  const auto done = (*whole)->forward(*state, in, runner, out);
  EXPECT_TRUE(done) << done.error().message;
  std::vector<double> nll;
  for (std::uint32_t row = 0; row < in.count && done; ++row) {
    const float* logits = &out.logits[std::size_t{row} * config.vocabulary];
    double sum = 0;
    for (std::uint32_t i = 0; i < config.vocabulary; ++i) {
      sum += std::exp(static_cast<double>(logits[i]));
    }
    nll.push_back(std::log(sum) - static_cast<double>(logits[ids[row + 1]]));
  }
  return nll;
}

TEST_P(tensor_types, are_as_accurate_as_promised) {
  const std::string name = GetParam().name;
  OVIR_SHARED_FILE(vector_path, "vectors/quants/" + name + ".json");
  OVIR_SHARED_FILE(model_path, "models/quants/" + name + ".gguf");
  const json vector = json::parse(read_file(vector_path));
  const std::vector<double> truth = vector["float_weights"]["nll"];
  const std::vector<double> nll = nll_of(loaded_model{model_path}, vector["ids"]);
  ASSERT_EQ(nll.size(), truth.size());
  double squares = 0;
  for (std::size_t i = 0; i < nll.size(); ++i) {
    squares += (nll[i] - truth[i]) * (nll[i] - truth[i]);
  }
  const double rms = std::sqrt(squares / static_cast<double>(nll.size()));
  const double theirs = vector["llama_cpp_rms_nll_error"];
  RecordProperty("ratio", std::to_string(rms / theirs));
  EXPECT_LE(rms, std::max(GetParam().share * theirs, 0.002)) << "llama.cpp: " << theirs;
}

INSTANTIATE_TEST_SUITE_P(
    files, tensor_types,
    ::testing::Values(type_case{"tiny-llama-f16", 1.05}, type_case{"tiny-llama-bf16", 1.05},
                      type_case{"tiny-llama-q8_0", 1.05}, type_case{"tiny-llama-q4_0", 1.05},
                      type_case{"tiny-llama-q4_k_m", 0.9}, type_case{"tiny-llama-q6_k", 0.9},
                      type_case{"tiny-llama-q4_1", 1.05}, type_case{"tiny-llama-q5_0", 1.05},
                      type_case{"tiny-llama-q5_1", 1.05}, type_case{"tiny-llama-q2_k", 0.9},
                      type_case{"tiny-llama-q3_k_m", 0.9}, type_case{"tiny-llama-q5_k_m", 0.9},
                      type_case{"tiny-qwen2-f16", 1.05}, type_case{"tiny-qwen2-q4_k_m", 0.9},
                      type_case{"tiny-qwen3-f16", 1.05}, type_case{"tiny-qwen3-q8_0", 1.05}));

} // namespace
} // namespace ovir::test
