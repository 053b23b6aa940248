// How far exact-1 and llama.cpp are from the truth, each: the same weights in floats. The vectors
// of perplexity_test.cpp have 59 positions of one text, of which the error of either side is known
// to about a tenth only; here are 24 texts, so that noise of one text is not taken for inaccuracy.
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/make/quantize_model.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/llama_cpp.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/model/peer_library.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

constexpr std::uint32_t texts = 24;
constexpr std::uint32_t tokens = 60; // as the vectors have

std::vector<double> nll_of(const std::vector<float>& logits, const std::vector<token_id>& ids,
                           std::uint32_t vocabulary) {
  std::vector<double> nll;
  for (std::size_t row = 0; row + 1 < ids.size(); ++row) {
    const float* const l = &logits[row * vocabulary];
    double sum = 0;
    for (std::uint32_t i = 0; i < vocabulary; ++i) {
      sum += std::exp(static_cast<double>(l[i]));
    }
    nll.push_back(std::log(sum) - static_cast<double>(l[ids[row + 1]]));
  }
  return nll;
}

std::vector<double> exact_nll(const compute::model& m, const std::vector<token_id>& ids) {
  compute::serial_runner runner;
  const auto* const kernels = compute::select_kernels(std::nullopt).value();
  auto whole = compute::segment::make(m, {0, m.config.layers}, *kernels, runner).value();
  auto state = whole->open(tokens, std::numeric_limits<std::size_t>::max()).value();
  compute::step_input in;
  in.count = static_cast<std::uint32_t>(ids.size());
  in.tokens = ids;
  in.logit_rows = in.count;
  compute::step_output out;
  const auto done = whole->forward(state, in, runner, out);
  EXPECT_TRUE(done) << done.error().message;
  return nll_of(out.logits, ids, m.config.vocabulary);
}

/// The same model, its weights as floats.
std::vector<std::byte> in_floats(const compute::gguf& file) {
  std::vector<std::byte> bytes;
  compute::serial_runner runner;
  const auto plan = compute::plan_quantized(file, compute::quantize_recipe::f32).value();
  const auto done = compute::write_quantized(
      plan,
      [&](std::span<const std::byte> some) -> result<void> {
        bytes.insert(bytes.end(), some.begin(), some.end());
        return {};
      },
      {}, runner);
  EXPECT_TRUE(done) << done.error().message;
  return bytes;
}

struct accuracy_case {
  const char* name;
  double share; ///< of llama.cpp's error that is allowed
};

class accuracy : public testing::TestWithParam<accuracy_case> {};

TEST_P(accuracy, over_many_texts_is_as_promised) {
  OVIR_PEER_FOLDER(folder);
  OVIR_SHARED_FILE(path, std::string{"models/quants/"} + GetParam().name + ".gguf");
  const loaded_model model{path};
  const loaded_model truth{in_floats(model.file())};
  const llama_cpp peer{folder, path};
  const std::uint32_t vocabulary = model.get().config.vocabulary;
  kernel_random random{17};
  double ours = 0;
  double theirs = 0;
  for (std::uint32_t text = 0; text < texts; ++text) {
    std::vector<token_id> ids(tokens);
    for (token_id& id : ids) {
      id = random.below(vocabulary);
    }
    const std::vector<double> wanted = exact_nll(truth.get(), ids);
    const std::vector<double> a = exact_nll(model.get(), ids);
    const std::vector<double> b = nll_of(peer.logits_of(ids, vocabulary), ids, vocabulary);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ours += (a[i] - wanted[i]) * (a[i] - wanted[i]);
      theirs += (b[i] - wanted[i]) * (b[i] - wanted[i]);
    }
  }
  const double ratio = std::sqrt(ours / theirs);
  RecordProperty("ratio", std::to_string(ratio));
  EXPECT_LE(ratio, GetParam().share);
}

INSTANTIATE_TEST_SUITE_P(
    files, accuracy,
    testing::Values(accuracy_case{"tiny-llama-q8_0", 1.05}, accuracy_case{"tiny-llama-q4_0", 1.05},
                    accuracy_case{"tiny-llama-q4_1", 1.05}, accuracy_case{"tiny-llama-q5_0", 1.05},
                    accuracy_case{"tiny-llama-q5_1", 1.05}, accuracy_case{"tiny-llama-q2_k", 0.9},
                    accuracy_case{"tiny-llama-q3_k_m", 0.9},
                    accuracy_case{"tiny-llama-q4_k_m", 0.9},
                    accuracy_case{"tiny-llama-q5_k_m", 0.9}, accuracy_case{"tiny-llama-q6_k", 0.9},
                    accuracy_case{"tiny-qwen2-q4_k_m", 0.9},
                    accuracy_case{"tiny-qwen3-q8_0", 1.05}),
    [](const auto& one) {
      std::string name = one.param.name;
      std::replace_if(
          name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
      return name;
    });

} // namespace
} // namespace ovir::test
