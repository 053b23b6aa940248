// How far files made by `quantize_model` and by llama.cpp's own quantiser are from the floats they
// were made of, each computed exactly: the difference is the quantiser's alone. Prints our errors
// as shares of llama.cpp's.
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/make/quantize_model.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/model/llama_cpp.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/model/peer_library.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using compute::quantize_recipe;

constexpr std::uint32_t texts = 24;
constexpr std::uint32_t tokens = 60;

/// The logarithms of the shares of all tokens, [position][vocabulary].
std::vector<double> log_shares(const compute::model& m, const std::vector<token_id>& ids) {
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
  const std::uint32_t vocabulary = m.config.vocabulary;
  std::vector<double> all(out.logits.begin(), out.logits.end());
  for (std::size_t row = 0; row < ids.size(); ++row) {
    double* const l = &all[row * vocabulary];
    double sum = 0;
    for (std::uint32_t i = 0; i < vocabulary; ++i) {
      sum += std::exp(l[i]);
    }
    const double less = std::log(sum);
    for (std::uint32_t i = 0; i < vocabulary; ++i) {
      l[i] -= less;
    }
  }
  return all;
}

std::vector<std::byte> made(const compute::gguf& file, quantize_recipe recipe) {
  std::vector<std::byte> bytes;
  compute::serial_runner runner;
  const auto plan = compute::plan_quantized(file, recipe).value();
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

/// Square errors of all matrices' elements, in shares of their squares, summed over matrices.
double square_error(const compute::gguf& truth, const compute::gguf& other) {
  double sum = 0;
  for (const compute::gguf_tensor& t : truth.tensors()) {
    const compute::gguf_tensor* const o = other.find_tensor(t.name);
    if (o == nullptr || t.dims < 2 || o->raw_type == t.raw_type) {
      continue;
    }
    double wrong = 0;
    double squares = 0;
    const auto cols = static_cast<std::uint32_t>(t.shape[0]);
    const auto rows = static_cast<std::uint32_t>(t.shape[1] * t.shape[2] * t.shape[3]);
    compute::weight a{.type = *compute::tensor_type_from(t.raw_type), .rows = rows, .cols = cols};
    compute::weight b{.type = *compute::tensor_type_from(o->raw_type), .rows = rows, .cols = cols};
    a.data = t.data.data();
    b.data = o->data.data();
    std::vector<float> x(cols);
    std::vector<float> y(cols);
    for (std::uint32_t r = 0; r < rows; ++r) {
      compute::embed_row(a, r, x.data());
      compute::embed_row(b, r, y.data());
      for (std::uint32_t i = 0; i < cols; ++i) {
        wrong += (double{x[i]} - y[i]) * (double{x[i]} - y[i]);
        squares += double{x[i]} * x[i];
      }
    }
    sum += wrong / squares;
  }
  return sum;
}

struct quality_case {
  const char* name; ///< of a file with floats
  quantize_recipe recipe;
  std::uint32_t file_type; ///< llama.cpp's number of the recipe
};

struct errors {
  double divergence{0}; ///< Kullback-Leibler, per position, from the floats' shares
  double nll{0};        ///< square of the difference, per position
};

errors errors_of(const compute::model& truth, const compute::model& m) {
  const std::uint32_t vocabulary = truth.config.vocabulary;
  kernel_random random{17};
  errors out;
  for (std::uint32_t text = 0; text < texts; ++text) {
    std::vector<token_id> ids(tokens);
    for (token_id& id : ids) {
      id = random.below(vocabulary);
    }
    const std::vector<double> wanted = log_shares(truth, ids);
    const std::vector<double> got = log_shares(m, ids);
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      out.divergence += std::exp(wanted[i]) * (wanted[i] - got[i]);
    }
    for (std::size_t row = 0; row + 1 < ids.size(); ++row) {
      const std::size_t at = row * vocabulary + ids[row + 1];
      out.nll += (wanted[at] - got[at]) * (wanted[at] - got[at]);
    }
  }
  out.divergence /= texts * tokens;
  out.nll /= texts * (tokens - 1);
  return out;
}

class quantizer_quality : public testing::TestWithParam<quality_case> {};

TEST_P(quantizer_quality, is_no_worse_than_llama_cpps) {
  OVIR_PEER_FOLDER(folder);
  OVIR_SHARED_FILE(path, std::string{"models/"} + GetParam().name + ".gguf");
  const temporary_folder work;
  const loaded_model given{path};
  const auto floats = made(given.file(), quantize_recipe::f32);
  const std::filesystem::path from = work.path() / "floats.gguf";
  std::ofstream{from, std::ios::binary}.write(reinterpret_cast<const char*>(floats.data()),
                                              static_cast<std::streamsize>(floats.size()));
  const loaded_model truth{from};
  const std::filesystem::path to = work.path() / "theirs.gguf";
  llama_cpp::quantize(folder, from, to, GetParam().file_type);
  const loaded_model theirs{to};
  const loaded_model ours{made(truth.file(), GetParam().recipe)};
  for (const compute::gguf_tensor& t : theirs.file().tensors()) {
    EXPECT_EQ(ours.file().find_tensor(t.name)->raw_type, t.raw_type) << t.name;
  }
  const double square =
      square_error(truth.file(), ours.file()) / square_error(truth.file(), theirs.file());
  const errors mine = errors_of(truth.get(), ours.get());
  const errors peer = errors_of(truth.get(), theirs.get());
  const double divergence = mine.divergence / peer.divergence;
  const double nll = std::sqrt(mine.nll / peer.nll);
  RecordProperty("square_error_ratio", std::to_string(square));
  RecordProperty("divergence_ratio", std::to_string(divergence));
  RecordProperty("nll_error_ratio", std::to_string(nll));
  std::printf("%s, llama.cpp's file type %u: square error %.3f, divergence %.3f, nll error %.3f\n",
              GetParam().name, GetParam().file_type, square, divergence, nll);
  EXPECT_LE(square, 1.0);
  // What a model makes of errors of the same size is chance: beside other texts and files of the
  // same recipe the quotient goes to either side.
  EXPECT_LE(divergence, 1.25);
}

INSTANTIATE_TEST_SUITE_P(
    files, quantizer_quality,
    testing::Values(quality_case{"tales/tales-f16", quantize_recipe::q4_k_m, 15},
                    quality_case{"tales/tales-f16", quantize_recipe::q6_k, 18},
                    quality_case{"tales/tales-f16", quantize_recipe::q4_0, 2},
                    quality_case{"tales/tales-f16", quantize_recipe::q8_0, 7},
                    quality_case{"quants/tiny-llama-f16", quantize_recipe::q4_k_m, 15},
                    quality_case{"quants/tiny-qwen2-f16", quantize_recipe::q4_k_m, 15},
                    quality_case{"quants/tiny-llama-f16", quantize_recipe::q4_0, 2},
                    quality_case{"minimind2-small-q8_0", quantize_recipe::q4_k_m, 15},
                    quality_case{"minimind2-small-q8_0", quantize_recipe::q4_0, 2},
                    quality_case{"stories15M-q8_0", quantize_recipe::q4_0, 2}),
    [](const auto& one) {
      std::string name = std::string{one.param.name} + "_" + std::to_string(one.param.file_type);
      std::replace_if(
          name.begin(), name.end(), [](char c) { return std::isalnum(c) == 0; }, '_');
      return name;
    });

} // namespace
} // namespace ovir::test
