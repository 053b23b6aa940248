// Steps, their order, and going on from checkpoints.
#include "learning/training/example_order.hpp"
#include "learning/training/trainer.hpp"
#include "tests/learning/learn_cases.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ovir::learning {
namespace {

using compute::synth_quantization;

std::vector<example> ten_examples(const compute::model& m) {
  std::vector<example> all;
  for (std::uint32_t i = 0; i < 10; ++i) {
    all.push_back(test::random_example(40 + i, 6 + i, m.config.vocabulary));
  }
  return all;
}

learn_settings settings_for(optimiser_kind kind) {
  learn_settings s;
  s.rank = 4;
  s.batch = 4;
  s.steps = 8;
  s.warmup = 2;
  s.optimiser.kind = kind;
  s.optimiser.rate = kind == optimiser_kind::adamw ? 0.01F : 0.05F;
  s.optimiser.decay = 0.01F;
  return s;
}

class whole_training {
public:
  explicit whole_training(optimiser_kind kind)
      : model_(test::small_llama(synth_quantization::f32)), checked_(test::checked(model_)),
        frozen_(freeze(checked_, *compute::select_kernels({}).value()).value()),
        settings_(settings_for(kind)) {}

  /// Held back is the last example, or all are.
  [[nodiscard]] std::unique_ptr<trainer> begin(bool all_held_back = false) {
    std::vector<example> all = ten_examples(checked_);
    const std::vector<example> held_back = all_held_back ? all : std::vector<example>{all.back()};
    return trainer::make(frozen_, settings_, {std::move(all), held_back, "base", "data"}, {})
        .value();
  }
  learn_settings& settings() { return settings_; }

private:
  test::loaded_model model_;
  compute::model checked_;
  frozen_model frozen_;
  learn_settings settings_;
};

TEST(trainer, that_goes_on_from_any_step_gives_the_same_bytes) {
  for (const optimiser_kind kind : {optimiser_kind::adamw, optimiser_kind::sgd}) {
    whole_training all{kind};
    compute::serial_runner runner;
    const auto undisturbed = all.begin();
    std::vector<std::string> states;
    while (!undisturbed->is_done()) {
      states.push_back(to_file(undisturbed->checkpoint()));
      ASSERT_TRUE(undisturbed->step(runner));
    }
    const std::string wanted = to_file(undisturbed->checkpoint());
    for (const std::string& state : states) {
      const auto later = all.begin();
      ASSERT_TRUE(later->resume(state_from(std::as_bytes(std::span{state})).value()));
      while (!later->is_done()) {
        ASSERT_TRUE(later->step(runner));
      }
      EXPECT_EQ(to_file(later->checkpoint()), wanted);
    }
  }
}

TEST(trainer, goes_on_from_no_checkpoint_of_other_settings_or_data) {
  whole_training all{optimiser_kind::adamw};
  compute::serial_runner runner;
  const auto first = all.begin();
  ASSERT_TRUE(first->step(runner));
  const training_state good = first->checkpoint();
  const std::string before = to_file(all.begin()->checkpoint());
  const auto refused = [&](training_state state) {
    const auto t = all.begin();
    const auto done = t->resume(std::move(state));
    EXPECT_EQ(to_file(t->checkpoint()), before);
    return !done && done.error().code == errc::unsupported;
  };
  training_state state = good;
  state.from.data = "other";
  EXPECT_TRUE(refused(state));
  state = good;
  state.from.base = "other";
  EXPECT_TRUE(refused(state));
  state = good;
  state.is.numbers[0][at_q] = {};
  EXPECT_TRUE(refused(state));
  state = good;
  all.settings().seed = 5;
  const std::string other_seed = to_file(all.begin()->checkpoint());
  EXPECT_NE(other_seed, before);
  const auto t = all.begin();
  EXPECT_FALSE(t->resume(good));
}

TEST(trainer, makes_the_loss_fall_on_what_it_learns) {
  for (const optimiser_kind kind : {optimiser_kind::adamw, optimiser_kind::sgd}) {
    whole_training all{kind};
    all.settings().steps = 40;
    compute::serial_runner runner;
    const auto t = all.begin();
    const double before = t->evaluate(runner).value().loss;
    while (!t->is_done()) {
      ASSERT_TRUE(t->step(runner));
    }
    const double after = t->evaluate(runner).value().loss;
    std::printf("held back: %.4f before, %.4f after\n", before, after);
    EXPECT_LT(after, before - 0.2);
    EXPECT_EQ(t->evaluations().size(), 2U);
  }
}

TEST(trainer, says_that_the_rate_was_too_high_when_numbers_overflow) {
  whole_training all{optimiser_kind::sgd};
  all.settings().optimiser.rate = 1e3F;
  all.settings().optimiser.momentum = 1;
  all.settings().clip = 0;
  all.settings().steps = 200;
  compute::serial_runner runner;
  const auto t = all.begin();
  for (;;) {
    ASSERT_FALSE(t->is_done());
    const auto done = t->step(runner);
    if (!done) {
      EXPECT_EQ(done.error().code, errc::nonfinite);
      EXPECT_NE(done.error().message.find("lower rate"), std::string::npos);
      return;
    }
  }
}

TEST(trainer, refuses_settings_that_mean_nothing) {
  const auto wrong = [](auto change) {
    learn_settings s;
    change(s);
    const auto done = check_settings(s);
    return !done && done.error().code == errc::invalid_argument;
  };
  EXPECT_TRUE(check_settings({}));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.batch = 0; }));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.steps = 0; }));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.warmup = s.steps; }));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.optimiser.rate = 0; }));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.optimiser.rate = std::nanf(""); }));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.optimiser.beta2 = 1; }));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.clip = -1; }));
  EXPECT_TRUE(wrong([](learn_settings& s) { s.length = 1; }));
}

TEST(rate, rises_during_the_warm_up_and_falls_to_nothing_behind_the_last_step) {
  learn_settings s;
  s.steps = 12;
  s.warmup = 4;
  s.optimiser.rate = 1;
  EXPECT_EQ(rate_at(s, 0), 0.25F);
  EXPECT_EQ(rate_at(s, 3), 1.0F);
  EXPECT_EQ(rate_at(s, 4), 1.0F);
  EXPECT_EQ(rate_at(s, 8), 0.5F);
  EXPECT_EQ(rate_at(s, 11), 0.125F);
  s.rate_falls = false;
  EXPECT_EQ(rate_at(s, 11), 1.0F);
}

TEST(order, has_each_place_once_and_differs_between_rounds) {
  for (const std::uint32_t n : {1U, 2U, 3U, 100U}) {
    std::vector<std::uint32_t> order = drawn_order(7, 0, n);
    const std::vector<std::uint32_t> other = drawn_order(7, 1, n);
    EXPECT_TRUE(n < 100 || order != other);
    EXPECT_TRUE(n < 100 || order != drawn_order(8, 0, n)) << "of another seed";
    EXPECT_EQ(order, drawn_order(7, 0, n));
    std::sort(order.begin(), order.end());
    std::vector<std::uint32_t> all(n);
    std::iota(all.begin(), all.end(), 0U);
    EXPECT_EQ(order, all);
  }
}

// AdamW as its paper states it, in binary64.
TEST(optimiser, follows_adamw_in_binary64_within_a_few_units) {
  optimiser_settings how;
  how.rate = 0.01F;
  how.decay = 0.1F;
  test::kernel_random random{48};
  adapter a{"llama", 1, 1, lora_numbers(1)};
  a.numbers[0][at_q] = {random.floats(50, 1.0F), random.floats(70, 1.0F)};
  moments kept{zeros_like(a.numbers), zeros_like(a.numbers)};
  std::vector<double> w(a.numbers[0][at_q].b.begin(), a.numbers[0][at_q].b.end());
  std::vector<double> m(w.size());
  std::vector<double> v(w.size());
  const auto b1 = static_cast<double>(how.beta1);
  const auto b2 = static_cast<double>(how.beta2);
  for (std::uint32_t step = 0; step < 30; ++step) {
    lora_numbers gradient = zeros_like(a.numbers);
    gradient[0][at_q] = {random.floats(50, 1.0F), random.floats(70, 1.0F)};
    take_step(how, {how.rate, 0.5F, step}, gradient, kept, a.numbers);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double g = 0.5 * static_cast<double>(gradient[0][at_q].b[i]);
      m[i] = b1 * m[i] + (1 - b1) * g;
      v[i] = b2 * v[i] + (1 - b2) * g * g;
      const double d =
          m[i] / (1 - std::pow(b1, step + 1)) /
          (std::sqrt(v[i] / (1 - std::pow(b2, step + 1))) + static_cast<double>(how.epsilon));
      w[i] -= static_cast<double>(how.rate) * (d + static_cast<double>(how.decay) * w[i]);
    }
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(a.numbers[0][at_q].b[i]), w[i], 2e-5) << i;
  }
}

TEST(optimiser, follows_momentum_in_binary64_within_a_few_units) {
  optimiser_settings how;
  how.kind = optimiser_kind::sgd;
  how.rate = 0.01F;
  how.decay = 0.1F;
  how.momentum = 0.9F;
  test::kernel_random random{49};
  adapter a{"llama", 1, 1, lora_numbers(1)};
  a.numbers[0][at_q] = {random.floats(50, 1.0F), random.floats(70, 1.0F)};
  moments kept{zeros_like(a.numbers), zeros_like(a.numbers)};
  std::vector<double> w(a.numbers[0][at_q].a.begin(), a.numbers[0][at_q].a.end());
  std::vector<double> m(w.size());
  for (std::uint32_t step = 0; step < 30; ++step) {
    lora_numbers gradient = zeros_like(a.numbers);
    gradient[0][at_q] = {random.floats(50, 1.0F), random.floats(70, 1.0F)};
    take_step(how, {how.rate, 0.5F, step}, gradient, kept, a.numbers);
    for (std::size_t i = 0; i < w.size(); ++i) {
      m[i] = static_cast<double>(how.momentum) * m[i] +
             0.5 * static_cast<double>(gradient[0][at_q].a[i]);
      w[i] -= static_cast<double>(how.rate) * (m[i] + static_cast<double>(how.decay) * w[i]);
    }
  }
  for (std::size_t i = 0; i < w.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(a.numbers[0][at_q].a[i]), w[i], 2e-5) << i;
  }
}

// With a rate that moves nothing, the losses of two rounds tell which examples were together.
TEST(trainer, takes_the_examples_of_each_round_in_another_order) {
  whole_training all{optimiser_kind::sgd};
  all.settings().optimiser.rate = 0x1p-60F;
  all.settings().batch = 5;
  all.settings().steps = 4;
  const auto t = all.begin();
  compute::serial_runner runner;
  while (!t->is_done()) {
    ASSERT_TRUE(t->step(runner));
  }
  const std::vector<double>& l = t->losses();
  EXPECT_NE(std::vector<double>(l.begin(), l.begin() + 2),
            std::vector<double>(l.begin() + 2, l.begin() + 4));
}

TEST(trainer, tells_the_mean_of_what_counts) {
  whole_training all{optimiser_kind::sgd};
  all.settings().batch = 10;
  const auto t = all.begin(true);
  compute::serial_runner runner;
  const evaluation before = t->evaluate(runner).value();
  EXPECT_NEAR(t->step(runner).value().loss, before.loss, 1e-12);
}

TEST(trainer, clips_the_step_and_not_its_direction) {
  const auto moved = [](float clip) {
    whole_training all{optimiser_kind::sgd};
    all.settings().optimiser.momentum = 0;
    all.settings().optimiser.decay = 0;
    all.settings().warmup = 0;
    all.settings().clip = clip;
    const auto t = all.begin();
    const lora_numbers before = t->result_so_far().numbers;
    compute::serial_runner runner;
    const double norm = t->step(runner).value().norm;
    lora_numbers change = t->result_so_far().numbers;
    for_each_pair(change, [&](std::size_t layer, std::size_t place, lora_pair& pair) {
      for (std::size_t i = 0; i < pair.b.size(); ++i) {
        pair.b[i] -= before[layer][place].b[i];
      }
      for (std::size_t i = 0; i < pair.a.size(); ++i) {
        pair.a[i] -= before[layer][place].a[i];
      }
    });
    return std::pair{norm, norm_of(change)};
  };
  const auto [norm, whole] = moved(0);
  EXPECT_NEAR(moved(static_cast<float>(norm / 4)).second, whole / 4, whole * 1e-3);
  EXPECT_NEAR(moved(static_cast<float>(norm * 4)).second, whole, whole * 1e-3);
}

TEST(names_of_matrices, are_read_in_both_forms) {
  EXPECT_EQ(targets_from("all").value(), all_targets);
  EXPECT_EQ(names_of(targets_from("v,q,ffn_down").value()), "attn_q,attn_v,ffn_down");
  EXPECT_FALSE(targets_from(""));
  EXPECT_FALSE(targets_from("q,,v"));
  EXPECT_FALSE(targets_from("norm"));
}

} // namespace
} // namespace ovir::learning
