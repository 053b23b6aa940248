// The property everything else stands on: one transcript digest per request, however the model is
// cut, threaded, chunked and whatever instruction set computes it. Compilers and build types are
// compared by scripts/check, which runs the same requests through several builds.
#include "compute/make/synth.hpp"
#include "compute/tensor/quantized_rows.hpp"
#include "node/local_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

namespace ovir {

namespace {

using actors::generation_request;
using compute::kernel_set;
using supervision::cluster_options;
using supervision::local_cluster;
using test::loaded_model;

struct cut {
  std::uint32_t threads;
  std::uint32_t stages;
  std::uint32_t chunk;
};

constexpr std::uint32_t thread_counts[] = {1, 2, 3, 7};
constexpr std::uint32_t stage_counts[] = {1, 2, 3, 6};
constexpr std::uint32_t chunk_sizes[] = {1, 7, 64};

std::vector<cut> all_cuts() {
  std::vector<cut> cuts;
  for (const std::uint32_t threads : thread_counts) {
    for (const std::uint32_t stages : stage_counts) {
      for (const std::uint32_t chunk : chunk_sizes) {
        cuts.push_back({threads, stages, chunk});
      }
    }
  }
  return cuts;
}

/// Every pair of values of two different parameters occurs in one of these 16.
std::vector<cut> pairwise_cuts() {
  std::vector<cut> cuts;
  for (std::size_t t = 0; t < 4; ++t) {
    for (std::size_t s = 0; s < 4; ++s) {
      cuts.push_back({thread_counts[t], stage_counts[s], chunk_sizes[(t + s) % 3]});
    }
  }
  return cuts;
}

class exactness : public testing::Test {
protected:
  void use(std::unique_ptr<loaded_model> m) {
    model_ = std::move(m);
    vocabulary_ = compute::tokenizer::make(model_->file()).value();
  }

  /// 70 positions of prompt: more than two windows and more than the largest chunk.
  [[nodiscard]] generation_request request() const {
    generation_request r;
    for (std::uint32_t i = 0; i < 70; ++i) {
      r.prompt.push_back((i * 7919 + 31) % model_->get().config.vocabulary);
    }
    r.sampling.temperature = 0.8F;
    r.sampling.top_k = 40;
    r.sampling.repeat_penalty = 1.1F;
    r.sampling.seed = 7;
    r.max_tokens = 8;
    return r;
  }

  [[nodiscard]] digest transcript_of(const cut& c, const kernel_set& kernels) {
    cluster_options options;
    options.threads = c.threads;
    options.stages = c.stages;
    options.prefill_chunk = c.chunk;
    auto cluster = local_cluster::start(model_->get(), *vocabulary_, kernels, *env_, options);
    EXPECT_TRUE(cluster) << cluster.error().message;
    const auto report = (*cluster)->run(request(), {}, nullptr);
    EXPECT_TRUE(report) << report.error().message;
    return report ? report->transcript : digest{};
  }

  void expect_one_digest(const std::vector<cut>& cuts, const kernel_set& kernels) {
    const digest expected = transcript_of({1, 1, 64}, fastest());
    for (const cut& c : cuts) {
      ASSERT_EQ(to_hex(transcript_of(c, kernels)), to_hex(expected))
          << kernels.name << ", " << c.threads << " threads, " << c.stages << " stages, chunks of "
          << c.chunk;
    }
  }

  [[nodiscard]] static const kernel_set& fastest() {
    return *compute::select_kernels(std::nullopt).value();
  }

  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::unique_ptr<loaded_model> model_;
  std::unique_ptr<compute::tokenizer> vocabulary_;
};

std::unique_ptr<loaded_model> synthetic(compute::synth_quantization quantization) {
  compute::synth_spec spec;
  spec.layers = 8;
  spec.quantization = quantization;
  return std::make_unique<loaded_model>(test::synthetic_model(spec));
}

std::unique_ptr<loaded_model> synthetic_q4_k_m() {
  return synthetic(compute::synth_quantization::q4_k_m);
}

/// The same for each set of fast kernels that this processor has.
class exactness_of : public exactness, public testing::WithParamInterface<const kernel_set*> {};

// Negative controls: what a compiler or a careless kernel might do.

void rotate_fused(float* x, const float* cos_sin, std::uint32_t pairs) {
  for (std::uint32_t i = 0; i < pairs; ++i) {
    const float c = cos_sin[2 * i];
    const float s = cos_sin[2 * i + 1];
    const float a = x[2 * i];
    const float b = x[2 * i + 1];
    x[2 * i] = std::fma(a, c, -(b * s));
    x[2 * i + 1] = std::fma(a, s, b * c);
  }
}

/// The striped sum of F16 weights with its lanes folded by neighbours instead of by halves.
void product_folded_otherwise(const compute::weight& w, std::uint32_t row_first,
                              std::uint32_t row_last, const float* x, std::size_t x_stride,
                              std::uint32_t tokens, float* y, std::size_t y_stride) {
  for (std::uint32_t t = 0; t < tokens; ++t) {
    for (std::uint32_t row = row_first; row < row_last; ++row) {
      float lanes[16] = {};
      for (std::uint32_t i = 0; i < w.cols; ++i) {
        const float element = compute::float_element(w.type, w.row(row), i);
        lanes[i % 16] = std::fma(element, x[t * x_stride + i], lanes[i % 16]);
      }
      float sum = 0;
      for (const float lane : lanes) {
        sum += lane;
      }
      y[t * y_stride + row] = sum;
    }
  }
}

} // namespace

TEST_P(exactness_of, synthetic_q4_k_m_in_every_cut) {
  use(synthetic_q4_k_m());
  expect_one_digest(all_cuts(), *GetParam());
}

TEST_P(exactness_of, minimind_q8_0_in_every_cut) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  use(std::make_unique<loaded_model>(path));
  expect_one_digest(all_cuts(), *GetParam());
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(exactness_of);
INSTANTIATE_TEST_SUITE_P(this_processor, exactness_of,
                         testing::ValuesIn(compute::fast_kernels_here()),
                         [](const auto& set) { return std::string{set.param->name}; });

TEST_F(exactness, synthetic_q4_k_m_on_the_reference_in_pairwise_cuts) {
  use(synthetic_q4_k_m());
  expect_one_digest(pairwise_cuts(), compute::kernels_reference());
}

TEST_F(exactness, minimind_q8_0_on_the_reference_in_pairwise_cuts) {
  OVIR_SHARED_FILE(path, "models/minimind2-small-q8_0.gguf");
  use(std::make_unique<loaded_model>(path));
  expect_one_digest(pairwise_cuts(), compute::kernels_reference());
}

// On F16 models: where weights are quantised, products are integers and have no order, and a
// different last bit elsewhere mostly vanishes when activations are rounded.
TEST_F(exactness, one_fused_multiply_add_changes_the_digest) {
  use(synthetic(compute::synth_quantization::f16));
  kernel_set wrong = fastest();
  wrong.rotate = rotate_fused;
  EXPECT_NE(transcript_of({1, 1, 64}, wrong), transcript_of({1, 1, 64}, fastest()));
}

TEST_F(exactness, one_float_sum_in_another_order_changes_the_digest) {
  use(synthetic(compute::synth_quantization::f16));
  kernel_set wrong = fastest();
  wrong.product_float = product_folded_otherwise;
  EXPECT_NE(transcript_of({1, 1, 64}, wrong), transcript_of({1, 1, 64}, fastest()));
}

} // namespace ovir
