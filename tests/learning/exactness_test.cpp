// One adapter, whatever it is computed with.
#include "apps/compute_threads.hpp"
#include "learning/training/trainer.hpp"
#include "tests/learning/learn_cases.hpp"

#include <gtest/gtest.h>

namespace ovir::learning {
namespace {

using compute::synth_quantization;

struct manner {
  const compute::kernel_set* kernels;
  std::size_t threads{1};
  trainer_room room{};
  bool briefly{false}; ///< two steps of few examples: the reference takes its time
};

std::vector<example> examples_for(const compute::model& m) {
  std::vector<example> all;
  for (std::uint32_t i = 0; i < 7; ++i) {
    all.push_back(test::random_example(100 + i, 5 + 9 * (i % 4), m.config.vocabulary));
  }
  all.push_back(test::random_example(200, 270, m.config.vocabulary)); // two chunks
  return all;
}

learn_settings small_settings() {
  learn_settings s;
  s.rank = 3;
  s.batch = 5;
  s.steps = 3;
  s.optimiser.rate = 0.01F;
  s.seed = 9;
  return s;
}

std::string adapter_by(const compute::model& m, const manner& how) {
  frozen_model frozen = freeze(m, *how.kernels).value();
  apps::compute_threads runner{how.threads};
  std::vector<example> examples = examples_for(m);
  learn_settings settings = small_settings();
  if (how.briefly) {
    examples.resize(3);
    settings.steps = 2;
    settings.batch = 2;
  }
  const auto t =
      trainer::make(frozen, settings, {std::move(examples), {}, "base", "data"}, how.room).value();
  while (!t->is_done()) {
    EXPECT_TRUE(t->step(runner));
  }
  return to_file(t->result_so_far(), t->where_from());
}

TEST(adapters, have_the_same_bytes_for_any_threads_passes_and_memory) {
  for (const synth_quantization q : {synth_quantization::f32, synth_quantization::q8_0}) {
    const auto model = test::small_llama(q);
    const compute::model m = test::checked(model);
    const compute::kernel_set* const best = compute::select_kernels({}).value();
    const std::string wanted = adapter_by(m, {best});
    for (const std::size_t threads : {1U, 2U, 3U}) {
      for (const std::uint32_t pass_rows : {1U, 40U, 10'000U}) {
        EXPECT_EQ(adapter_by(m, {best, threads, {std::uint64_t{1} << 30U, pass_rows}}), wanted)
            << threads << " threads, " << pass_rows << " rows";
      }
    }
  }
}

TEST(adapters, have_the_same_bytes_for_every_instruction_set) {
  for (const synth_quantization q : {synth_quantization::q8_0, synth_quantization::q4_k_m}) {
    const auto model = test::small_llama(q);
    const compute::model m = test::checked(model);
    const bool briefly = q == synth_quantization::q4_k_m;
    const std::string wanted = adapter_by(m, {&compute::kernels_reference(), 1, {}, briefly});
    for (const compute::kernel_set* set : test::all_kernels()) {
      EXPECT_EQ(adapter_by(m, {set, 2, {}, briefly}), wanted) << set->name;
    }
  }
}

// Every plan that differs, down to the least memory that a pass can do with.
TEST(adapters, have_the_same_bytes_whatever_is_computed_again) {
  const auto model = test::small_model_of("qwen3"); // 8 layers
  const compute::model m = test::checked(model);
  const compute::kernel_set* const best = compute::select_kernels({}).value();
  const std::string wanted = adapter_by(m, {best});
  std::vector<pass_plan> seen;
  std::uint64_t bytes = std::uint64_t{1} << 30U;
  for (;;) {
    const auto plan = plan_pass(m.config, 3, 500, 269, 1, bytes);
    if (!plan) {
      EXPECT_EQ(plan.error().code, errc::over_limit);
      break;
    }
    EXPECT_LE(plan->bytes, bytes);
    seen.push_back(*plan);
    bytes = plan->bytes - 1;
    EXPECT_EQ(adapter_by(m, {best, 1, {plan->bytes, 500}}), wanted)
        << plan->tapes << " tapes, every " << plan->stride;
  }
  EXPECT_GE(seen.size(), 9U);
  EXPECT_GT(seen.back().stride, 1U);
}

TEST(adapters, have_the_same_bytes_where_groups_of_layers_are_computed_again) {
  const auto model = test::small_llama(synth_quantization::f32, 16);
  const compute::model m = test::checked(model);
  const compute::kernel_set* const best = compute::select_kernels({}).value();
  const std::string wanted = adapter_by(m, {best});
  // The longest example has a pass of its own.
  std::uint64_t bytes = std::uint64_t{1} << 30U;
  std::uint32_t stride = 0;
  while (const auto plan = plan_pass(m.config, 3, 269, 269, 1, bytes)) {
    bytes = plan->bytes - 1;
    stride = plan->stride;
  }
  EXPECT_GT(stride, 2U) << "a group has a layer that is neither its first nor its last";
  EXPECT_EQ(adapter_by(m, {best, 1, {bytes + 1, 269}}), wanted);
}

TEST(passes, refuse_what_memory_cannot_hold_with_the_number_that_would_do) {
  const auto model = test::small_llama(synth_quantization::f32);
  const compute::model m = test::checked(model);
  const auto plan = plan_pass(m.config, 3, 100, 100, 1, 1'000);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, errc::over_limit);
  EXPECT_NE(plan.error().message.find("MiB at least"), std::string::npos);
}

TEST(passes, refuse_ids_outside_the_vocabulary_and_examples_beyond_the_context) {
  const auto model = test::small_llama(synth_quantization::f32);
  const compute::model m = test::checked(model);
  frozen_model frozen = freeze(m, compute::kernels_reference()).value();
  const adapter fresh = fresh_adapter(m, 2, 2, all_targets, 1).value();
  example_pass pass{frozen, fresh, std::uint64_t{1} << 30U};
  compute::serial_runner runner;
  const auto code_of = [&](const example& e) {
    const example* const one[] = {&e};
    const auto done = pass.losses(one, runner);
    return done ? errc::internal : done.error().code;
  };
  example e = test::random_example(1, 4, m.config.vocabulary);
  e.ids[2] = m.config.vocabulary;
  EXPECT_EQ(code_of(e), errc::malformed);
  EXPECT_EQ(code_of(test::random_example(1, m.config.context + 1, 9)), errc::malformed);
  EXPECT_EQ(code_of(test::random_example(1, 1, 9)), errc::malformed);
}

TEST(models, with_blocks_of_other_families_are_refused_by_name) {
  for (const char* name : {"gemma", "gemma2", "phi3", "granite", "olmo2", "mixtral", "qwen3moe"}) {
    const auto model = test::small_model_of(name);
    const auto done = check_trainable(model.get().config);
    ASSERT_FALSE(done) << name;
    EXPECT_EQ(done.error().code, errc::unsupported);
  }
}

} // namespace
} // namespace ovir::learning
