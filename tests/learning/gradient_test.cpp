// Gradients against a model in binary64 whose gradients come from a tape of scalars, and that
// against finite differences.
#include "compute/base/exact_math.hpp"
#include "compute/forward/segment.hpp"
#include "learning/gradient/example_pass.hpp"
#include "learning/kernels/choose.hpp"
#include "tests/learning/learn_cases.hpp"
#include "tests/learning/model64.hpp"
#include "tests/support/model/kernel_inputs.hpp"
#include "tests/support/shared_files.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace ovir::learning {
namespace {

using compute::synth_quantization;

constexpr std::uint64_t ample = std::uint64_t{1} << 30U;

struct computed {
  double loss{0};
  lora_numbers gradient;
};

computed gradient_of(const compute::model& m, const adapter& beside, const example& e,
                     const compute::kernel_set& kernels = *compute::select_kernels({}).value()) {
  frozen_model frozen = freeze(m, kernels).value();
  example_pass pass{frozen, beside, ample};
  compute::serial_runner runner;
  computed out{0, zeros_like(beside.numbers)};
  const example* const one[] = {&e};
  out.loss = pass.gradients(one, out.gradient, runner).value().front();
  return out;
}

/// How far loss and gradient are from binary64's, as parts of these.
struct distance {
  double loss;
  double gradient;
};

distance distance_of(const compute::model& m, std::uint32_t tokens, bool half_kv) {
  const adapter beside = test::stirred_adapter(m, 7);
  const example e = test::random_example(11, tokens, m.config.vocabulary);
  const test::loss64 wanted = test::loss_of(m, beside, e, half_kv);
  const computed got = gradient_of(m, beside, e);
  const distance d{std::abs(got.loss - wanted.loss) / wanted.loss,
                   test::relative_distance(got.gradient, wanted.gradient)};
  std::printf("%s: loss off by %.2e, gradient by %.2e\n", m.config.architecture.c_str(), d.loss,
              d.gradient);
  return d;
}

TEST(gradients, of_the_model_in_binary64_are_those_of_finite_differences) {
  const auto model = test::small_llama(synth_quantization::f32);
  const compute::model m = test::checked(model);
  adapter beside = test::stirred_adapter(m, 7);
  const example e = test::random_example(11, 7, m.config.vocabulary);
  const lora_numbers slopes = test::loss_of(m, beside, e, false).gradient;
  test::kernel_random random{48};
  for_each_pair(slopes, [&](std::size_t layer, std::size_t place, const lora_pair& pair) {
    const auto check = [&](const std::vector<float>& slope, std::vector<float>& numbers) {
      const std::size_t i = random.below(static_cast<std::uint32_t>(numbers.size()));
      const float at = numbers[i];
      constexpr float step = 0x1p-10F;
      numbers[i] = at + step;
      const double above = static_cast<double>(numbers[i]);
      const double high = test::loss_of(m, beside, e, false).loss;
      numbers[i] = at - step;
      const double apart = above - static_cast<double>(numbers[i]);
      const double low = test::loss_of(m, beside, e, false).loss;
      numbers[i] = at;
      const auto wanted = static_cast<double>(slope[i]);
      EXPECT_NEAR((high - low) / apart, wanted, 1e-5 + 1e-4 * std::abs(wanted))
          << layer << " " << targets[place].name;
    };
    check(pair.a, beside.numbers[layer][place].a);
    check(pair.b, beside.numbers[layer][place].b);
  });
}

// Nothing is rounded but to binary32 and, in both, K and V to fp16: where these lie nearly between
// two fp16, one may take the other neighbour, which is most of the distance.
TEST(gradients, are_those_of_binary64_within_1e_minus_4_through_floats) {
  for (const char* architecture : {"qwen2", "qwen3", "smollm3"}) {
    const auto model = test::small_model_of(architecture);
    const distance d = distance_of(test::checked(model), 9, true);
    EXPECT_LT(d.loss, 2e-5) << architecture;
    EXPECT_LT(d.gradient, 1e-4) << architecture;
  }
  const auto llama = test::small_llama(synth_quantization::f32);
  const distance d = distance_of(test::checked(llama), 20, true);
  EXPECT_LT(d.loss, 2e-5);
  EXPECT_LT(d.gradient, 1e-4);
}

// Activations are rounded to 8 bits on the way forward, and nothing on the way back.
TEST(gradients, are_those_of_binary64_within_4_percent_through_quantised_weights) {
  for (const synth_quantization q :
       {synth_quantization::q8_0, synth_quantization::q4_0, synth_quantization::q4_k_m}) {
    const auto model = test::small_llama(q);
    const distance d = distance_of(test::checked(model), 9, false);
    EXPECT_LT(d.loss, 5e-3);
    EXPECT_LT(d.gradient, 4e-2);
  }
}

TEST(gradients, are_those_of_binary64_through_a_trained_model) {
  for (const bool quantised : {false, true}) {
    OVIR_SHARED_FILE(file,
                     quantised ? "models/stories260K-q8_0.gguf" : "models/stories260K-f32.gguf");
    const test::loaded_model model{file};
    const distance d = distance_of(test::checked(model), 12, !quantised);
    EXPECT_LT(d.loss, quantised ? 5e-3 : 2e-5);
    EXPECT_LT(d.gradient, quantised ? 3e-2 : 1e-4);
  }
}

TEST(gradients, of_long_examples_are_sums_of_chunks) {
  const auto model = test::small_llama(synth_quantization::f32);
  const compute::model m = test::checked(model);
  const adapter beside = test::stirred_adapter(m, 7);
  // Rows behind the 257th begin a second chunk of queries and of positions.
  const example e = test::random_example(5, 262, m.config.vocabulary);
  const computed best = gradient_of(m, beside, e);
  const computed reference = gradient_of(m, beside, e, compute::kernels_reference());
  EXPECT_EQ(best.loss, reference.loss);
  EXPECT_EQ(best.gradient, reference.gradient);
}

// What inference computes: a fresh adapter changes no bit of it.
TEST(losses, under_a_fresh_adapter_are_those_of_the_segment) {
  for (const synth_quantization q : {synth_quantization::f32, synth_quantization::q4_k_m}) {
    const auto model = test::small_llama(q);
    const compute::model m = test::checked(model);
    const example e = test::random_example(3, 40, m.config.vocabulary);
    const compute::kernel_set& kernels = *compute::select_kernels({}).value();
    compute::serial_runner runner;
    const auto whole = compute::segment::make_checked(m, {0, m.config.layers}, kernels).value();
    auto state = whole->open(e.rows(), ample).value();
    compute::step_output out;
    compute::step_input in;
    in.count = e.rows();
    in.tokens = std::span{e.ids}.first(e.rows());
    in.logit_rows = e.rows();
    ASSERT_TRUE(whole->forward(state, in, runner, out));
    double sum = 0;
    for (std::uint32_t p = 0; p < e.rows(); ++p) {
      float* const row = out.logits.data() + std::size_t{p} * m.config.vocabulary;
      const auto logit = static_cast<double>(row[e.ids[p + 1]]);
      const softmax_sums s = kernels_reference().softmax(row, m.config.vocabulary, 1.0F);
      if (e.counts[p + 1] != 0) {
        sum += compute::exact_log(static_cast<double>(s.total)) -
               (logit - static_cast<double>(s.most));
      }
    }
    frozen_model frozen = freeze(m, kernels).value();
    const adapter fresh = fresh_adapter(m, 4, 8, all_targets, 1).value();
    example_pass pass{frozen, fresh, ample};
    const example* const one[] = {&e};
    EXPECT_EQ(pass.losses(one, runner).value().front(), sum);
  }
}

} // namespace
} // namespace ovir::learning
