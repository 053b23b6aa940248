#include "ledger/rules/tariff.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

using limits::ppm_one;

constexpr std::uint64_t base_model_bytes = std::uint64_t{1} << 35U; // 32 GiB
constexpr std::uint64_t deadline_least_ppm = 500'000;
constexpr std::uint64_t deadline_most_ppm = 1'500'000;
constexpr std::uint64_t bottleneck_span_ppm = 300'000;
constexpr std::uint64_t reputation_base_ppm = 800'000;
constexpr std::uint64_t reputation_span_ppm = 400'000;

wide ceil_div(wide a, wide b) { return a / b + (a % b != 0 ? 1 : 0); }

result<micro_credits> bounded_rate(wide rate) {
  if (rate > limits::ledger_rate_max) {
    return fail(errc::over_limit,
                "a rate above {} micro-credits per token is refused; use a smaller model or ask",
                limits::ledger_rate_max);
  }
  return static_cast<micro_credits>(rate);
}

} // namespace

result<micro_credits> model_rate(std::uint64_t model_bytes) {
  return bounded_rate(
      std::max(wide{ppm_one}, ceil_div(wide{ppm_one} * model_bytes, wide{base_model_bytes})));
}

result<micro_credits> path_rate(micro_credits rate, std::span<const priced_stage> stages) {
  if (stages.empty() || stages.size() > limits::ledger_participants_max) {
    return fail(errc::invalid_argument, "a path has 1 to {} stages, this one {}",
                limits::ledger_participants_max, stages.size());
  }
  if (rate > limits::ledger_rate_max) {
    return fail(errc::invalid_argument, "the model's rate is {}; it is at most {}", rate,
                limits::ledger_rate_max);
  }
  // At most 2^6 stages * 2^16 layers * 2^30: the sum fits 64 bits, the product with a rate 128.
  std::uint64_t layers = 0;
  std::uint64_t asked = 0;
  for (const priced_stage& s : stages) {
    if (s.layers == 0 || s.layers > limits::ledger_layers_max || s.ask_ppm == 0 ||
        s.ask_ppm > limits::ledger_ask_ppm_max) {
      return fail(errc::invalid_argument,
                  "a stage of {} layers asks {} ppm; layers must be 1 to {}, asks 1 to {}",
                  s.layers, s.ask_ppm, limits::ledger_layers_max, limits::ledger_ask_ppm_max);
    }
    layers += s.layers;
    asked += s.layers * s.ask_ppm;
  }
  return bounded_rate(ceil_div(wide{rate} * asked, wide{layers} * ppm_one));
}

result<micro_credits> token_price(std::uint64_t prompt, std::uint64_t completion,
                                  micro_credits rate) {
  if (prompt > limits::ledger_tokens_max || completion > limits::ledger_tokens_max) {
    return fail(errc::over_limit, "{} prompt and {} completion tokens; each may be at most {}",
                prompt, completion, limits::ledger_tokens_max);
  }
  return narrow((wide{prompt} + completion) * rate, "the price of these tokens");
}

std::uint64_t deadline_factor_ppm(std::uint64_t expected, std::uint64_t allotted) {
  if (allotted == 0) {
    return deadline_most_ppm;
  }
  const wide factor = deadline_least_ppm + wide{ppm_one} * expected / allotted;
  return static_cast<std::uint64_t>(std::min(factor, wide{deadline_most_ppm}));
}

std::uint64_t bottleneck_factor_ppm(std::uint64_t critical_share_ppm) {
  return ppm_one + bottleneck_span_ppm * std::min(critical_share_ppm, ppm_one) / ppm_one;
}

std::uint64_t reputation_factor_ppm(std::uint64_t reputation_ppm) {
  return reputation_base_ppm + reputation_span_ppm * std::min(reputation_ppm, ppm_one) / ppm_one;
}

std::uint64_t stage_weight(const priced_stage& stage, const reward_factors& factors) {
  wide weight = wide{stage.layers} * stage.ask_ppm;
  for (const std::uint64_t factor :
       {factors.deadline_ppm, factors.bottleneck_ppm, factors.reputation_ppm}) {
    weight = std::clamp(weight * factor / ppm_one, wide{1}, wide{limits::ledger_weight_max});
  }
  return static_cast<std::uint64_t>(weight);
}

} // namespace ovir::ledger
