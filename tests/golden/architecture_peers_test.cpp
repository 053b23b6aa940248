// Every architecture beside llama.cpp: the same synthetic model of random F16 weights, 8 layers and
// odd shapes, the same tokens. The negative log-likelihoods agree, and the digest of all logits
// does not depend on the instruction set, on where the model is cut or on threads.
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "messages/digest.hpp"
#include "tests/support/model/architecture_model.hpp"
#include "tests/support/model/llama_cpp.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/model/peer_library.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using compute::segment;

std::vector<token_id> tokens_for(std::uint32_t vocabulary) {
  std::vector<token_id> ids;
  for (std::uint32_t i = 0; i < 60; ++i) {
    ids.push_back((i * i * 7 + i * 13 + 5) % vocabulary);
  }
  return ids;
}

std::vector<double> peer_nll(const std::vector<float>& logits, const std::vector<token_id>& ids,
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

/// Logits of all tokens, the model cut before layer `cut`, in steps of `chunk` tokens.
std::vector<float> logits_of(const compute::model& m, const compute::kernel_set& kernels,
                             std::uint32_t cut, std::uint32_t chunk) {
  compute::serial_runner runner;
  const std::vector<token_id> ids = tokens_for(m.config.vocabulary);
  const auto tokens = static_cast<std::uint32_t>(ids.size());
  auto first = segment::make(m, {0, cut}, kernels, runner).value();
  auto second = segment::make(m, {cut, m.config.layers}, kernels, runner).value();
  auto first_state = first->open(tokens, std::size_t{1} << 30U).value();
  auto second_state = second->open(tokens, std::size_t{1} << 30U).value();
  std::vector<float> all;
  for (std::uint32_t at = 0; at < tokens; at += chunk) {
    compute::step_input in;
    in.first = at;
    in.count = std::min(chunk, tokens - at);
    in.tokens = std::span{ids}.subspan(at, in.count);
    compute::step_output between;
    compute::step_output out;
    EXPECT_TRUE(first->forward(first_state, in, runner, between));
    in.tokens = {};
    in.boundary = between.boundary;
    in.logit_rows = in.count;
    const auto done = second->forward(second_state, in, runner, out);
    EXPECT_TRUE(done) << done.error().message;
    all.insert(all.end(), out.logits.begin(), out.logits.end());
  }
  return all;
}

/// Positions whose experts may be others than llama.cpp's: two of nearly the same score change
/// places by its roundings, which its libraries for AVX2 and AVX-512 do differently.
std::size_t near_ties_of(const compute::model& m) { return m.config.experts == 0 ? 0 : 1; }

/// The root of the mean square of all but the `left_out` largest.
double rms_without(std::size_t left_out, std::vector<double> values) {
  std::sort(values.begin(), values.end());
  values.resize(values.size() - left_out);
  double squares = 0;
  for (const double value : values) {
    squares += value * value;
  }
  return std::sqrt(squares / static_cast<double>(values.size()));
}

class architectures : public testing::TestWithParam<architecture_case> {};

TEST_P(architectures, give_one_digest_whatever_computes_them_and_wherever_they_are_cut) {
  const loaded_model model{architecture_model(GetParam())};
  const auto digest_of = [](const std::vector<float>& logits) {
    return to_hex(hash_plain(std::as_bytes(std::span{logits})));
  };
  const std::string wanted = digest_of(logits_of(model.get(), compute::kernels_reference(), 4, 60));
  for (const auto* const set : compute::fast_kernels_here()) {
    for (const std::uint32_t cut : {1U, 4U, 7U}) {
      for (const std::uint32_t chunk : {1U, 17U, 60U}) {
        EXPECT_EQ(digest_of(logits_of(model.get(), *set, cut, chunk)), wanted)
            << set->name << ", cut before " << cut << ", chunks of " << chunk;
      }
    }
  }
}

TEST_P(architectures, agree_with_llama_cpp) {
  OVIR_PEER_FOLDER(folder);
  const std::vector<std::byte> bytes = architecture_model(GetParam());
  const temporary_folder place;
  const std::filesystem::path file = place.path() / "model.gguf";
  std::ofstream{file, std::ios::binary}.write(reinterpret_cast<const char*>(bytes.data()),
                                              static_cast<std::streamsize>(bytes.size()));
  const loaded_model model{bytes};
  const std::uint32_t vocabulary = model.get().config.vocabulary;
  const std::vector<token_id> ids = tokens_for(vocabulary);
  const std::vector<double> ours =
      peer_nll(logits_of(model.get(), *compute::select_kernels(std::nullopt).value(), 4, 60), ids,
               vocabulary);
  const std::vector<double> theirs =
      peer_nll(llama_cpp{folder, file}.logits_of(ids, vocabulary), ids, vocabulary);
  ASSERT_EQ(ours.size(), theirs.size());
  std::vector<double> apart;
  double spread = 0;
  for (std::size_t i = 0; i < ours.size(); ++i) {
    apart.push_back(std::fabs(ours[i] - theirs[i]));
    spread += std::fabs(ours[i] - ours[0]);
  }
  const double rms = rms_without(near_ties_of(model.get()), apart);
  RecordProperty("rms", std::to_string(rms));
  EXPECT_LE(rms, 0.003);
  EXPECT_GE(spread / static_cast<double>(ours.size()), 0.05) << "a model that says nothing";
}

INSTANTIATE_TEST_SUITE_P(all, architectures, testing::ValuesIn(architecture_cases()),
                         [](const auto& one) { return one.param.name; });

} // namespace
} // namespace ovir::test
