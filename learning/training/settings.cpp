#include "learning/training/settings.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/learning.hpp"

#include <fmt/format.h>

#include <cmath>

namespace ovir::learning {

namespace {

bool within(float value, float low, float high) { return value >= low && value <= high; }

/// What is wrong with an optimiser's numbers; empty: nothing.
const char* fault_of(const optimiser_settings& o) {
  if (!within(o.rate, 0x1p-60F, 1e3F)) {
    return "a rate is above 0 and up to 1000";
  }
  if (!(o.beta1 >= 0 && o.beta1 < 1) || !(o.beta2 >= 0 && o.beta2 < 1)) {
    return "both betas are at least 0 and below 1";
  }
  if (!within(o.momentum, 0, 1)) {
    return "a momentum is within 0 and 1";
  }
  if (!within(o.decay, 0, 1e3F) || !within(o.epsilon, 0x1p-100F, 1)) {
    return "a weight decay is within 0 and 1000, an epsilon above 0 and up to 1";
  }
  return nullptr;
}

} // namespace

result<void> check_settings(const learn_settings& s) {
  if (const char* const fault = fault_of(s.optimiser)) {
    return fail(errc::invalid_argument, "{}", fault);
  }
  if (s.batch == 0 || s.batch > limits::learn_batch_max) {
    return fail(errc::invalid_argument, "a batch has 1 to {} examples", limits::learn_batch_max);
  }
  if (s.steps == 0 || s.steps > limits::learn_steps_max) {
    return fail(errc::invalid_argument, "{} steps are not within 1 to {}", s.steps,
                limits::learn_steps_max);
  }
  if (s.warmup >= s.steps) {
    return fail(errc::invalid_argument, "a warm-up of {} steps leaves none of {}", s.warmup,
                s.steps);
  }
  if (!within(s.clip, 0, 1e9F)) {
    return fail(errc::invalid_argument, "the norm at which gradients are clipped is 0 or above");
  }
  if (s.length < 2 || s.length > limits::context_max) {
    return fail(errc::invalid_argument, "an example has 2 to {} tokens", limits::context_max);
  }
  return {};
}

std::string to_line(const learn_settings& s) {
  const optimiser_settings& o = s.optimiser;
  const std::string how =
      o.kind == optimiser_kind::adamw
          ? fmt::format("adamw beta1={} beta2={} epsilon={}", o.beta1, o.beta2, o.epsilon)
          : fmt::format("sgd momentum={}", o.momentum);
  return fmt::format("rank={} alpha={} targets={} optimiser={} rate={} decay={} batch={} steps={} "
                     "warmup={} schedule={} clip={} length={} held_back={} seed={}",
                     s.rank, s.alpha, names_of(s.targets), how, o.rate, o.decay, s.batch, s.steps,
                     s.warmup, s.rate_falls ? "linear" : "constant", s.clip, s.length, s.held_back,
                     s.seed);
}

float rate_at(const learn_settings& s, std::uint32_t step) {
  const auto rate = static_cast<double>(s.optimiser.rate);
  if (step < s.warmup) {
    return static_cast<float>(rate * static_cast<double>(step + 1) / static_cast<double>(s.warmup));
  }
  if (!s.rate_falls) {
    return s.optimiser.rate;
  }
  return static_cast<float>(rate * static_cast<double>(s.steps - step) /
                            static_cast<double>(s.steps - s.warmup));
}

} // namespace ovir::learning
