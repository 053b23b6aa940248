#include "ledger/rules/rewards.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::ledger {

namespace {

using limits::ppm_one;

constexpr std::uint64_t divy_time_least_us = 1'000;
constexpr std::uint64_t divy_rate_scale = 1'000'000'000'000;
constexpr std::uint64_t divy_throughput_least_ppm = 500'000;
constexpr std::uint64_t divy_throughput_most_ppm = 1'500'000;
constexpr std::uint64_t divy_pressure_base_ppm = 850'000;
constexpr std::uint64_t divy_pressure_span_ppm = 300'000;

constexpr std::array<std::pair<reward_rule, std::string_view>, 3> rule_names{
    {{reward_rule::work, "work"}, {reward_rule::factors, "factors"}, {reward_rule::divy, "divy"}}};

/// Of those that computed something.
bool all_seen(std::span<const stage_part> parts) {
  return std::all_of(parts.begin(), parts.end(),
                     [](const stage_part& p) { return p.took_us > 0 || p.work.layers == 0; });
}

/// Layers per time; at most 2^16 * 10^12 / 10^3.
std::uint64_t rate_of(const stage_part& p) {
  return p.work.layers * divy_rate_scale / std::max(p.took_us, divy_time_least_us);
}

std::uint64_t median_rate(std::span<const stage_part> parts) {
  std::vector<std::uint64_t> rates;
  for (const stage_part& p : parts) {
    if (p.work.layers > 0) {
      rates.push_back(rate_of(p));
    }
  }
  if (rates.empty()) {
    return 1;
  }
  std::sort(rates.begin(), rates.end());
  const std::size_t half = rates.size() / 2;
  return std::max<std::uint64_t>(1, rates.size() % 2 == 1 ? rates[half]
                                                          : (rates[half - 1] + rates[half]) / 2);
}

std::uint64_t pressure_ppm(const stage_part& p) {
  if (p.memory_bytes == 0) {
    return ppm_one;
  }
  return static_cast<std::uint64_t>(
      std::min(wide{ppm_one} * p.bytes / p.memory_bytes, wide{ppm_one}));
}

std::uint64_t weight_of(const stage_part& p, std::uint64_t throughput_ppm) {
  const std::uint64_t pressure =
      divy_pressure_base_ppm + divy_pressure_span_ppm * pressure_ppm(p) / ppm_one;
  wide weight = wide{p.work.layers} * p.work.ask_ppm;
  for (const std::uint64_t factor : {throughput_ppm, pressure}) {
    weight = std::clamp(weight * factor / ppm_one, wide{1}, wide{limits::ledger_weight_max});
  }
  return static_cast<std::uint64_t>(weight);
}

} // namespace

std::string_view to_string(reward_rule rule) noexcept {
  return std::find_if(rule_names.begin(), rule_names.end(),
                      [rule](const auto& one) { return one.first == rule; })
      ->second;
}

std::optional<reward_rule> reward_rule_from(std::string_view text) noexcept {
  const auto* const found = std::find_if(rule_names.begin(), rule_names.end(),
                                         [text](const auto& one) { return one.second == text; });
  return found == rule_names.end() ? std::nullopt : std::optional{found->first};
}

std::vector<std::uint64_t> divy_weights(std::span<const stage_part> parts) {
  std::vector<std::uint64_t> weights;
  const bool seen = all_seen(parts);
  const std::uint64_t median = median_rate(parts);
  for (const stage_part& p : parts) {
    const wide throughput =
        std::clamp(wide{rate_of(p)} * ppm_one / median, wide{divy_throughput_least_ppm},
                   wide{divy_throughput_most_ppm});
    weights.push_back(weight_of(p, seen ? static_cast<std::uint64_t>(throughput) : ppm_one));
  }
  return weights;
}

std::vector<std::uint64_t> odsi_weights(std::span<const stage_part> parts,
                                        std::span<const stage_terms> terms, std::uint64_t steps) {
  const bool seen = steps > 0 && all_seen(parts);
  const auto time_of = [&](std::size_t i) {
    return seen ? parts[i].took_us / steps : terms[i].planned_us;
  };
  std::uint64_t path_us = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    path_us += time_of(i);
  }
  std::vector<std::uint64_t> weights;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    reward_factors f;
    f.deadline_ppm =
        terms[i].allotted_us == 0 ? ppm_one : deadline_factor_ppm(time_of(i), terms[i].allotted_us);
    f.bottleneck_ppm = bottleneck_factor_ppm(
        path_us == 0 ? 0 : static_cast<std::uint64_t>(wide{ppm_one} * time_of(i) / path_us));
    f.reputation_ppm = reputation_factor_ppm(terms[i].reputation_ppm);
    weights.push_back(stage_weight(parts[i].work, f));
  }
  return weights;
}

} // namespace ovir::ledger
