#include "ledger/rules/policy_reference.hpp"

#include <algorithm>
#include <limits>

namespace ovir::ledger::reference {

namespace {

constexpr double bytes_per_gib = 1'073'741'824.0;
constexpr double base_model_gib = 32.0;
constexpr double epsilon = std::numeric_limits<double>::epsilon();
constexpr double seconds_min = 0.001;
constexpr double throughput_least = 0.5;
constexpr double throughput_most = 1.5;
constexpr double pressure_base = 0.85;
constexpr double pressure_span = 0.30;

double size_factor(const job& j) {
  return std::max(1.0, static_cast<double>(j.model_bytes) / bytes_per_gib / base_model_gib);
}

consumption consume(const job& j, std::uint64_t prompt, std::uint64_t completion) {
  consumption c;
  c.model_size_factor = size_factor(j);
  c.prompt_credits = static_cast<double>(prompt) * c.model_size_factor;
  c.completion_credits = static_cast<double>(completion) * c.model_size_factor;
  c.total_credits = c.prompt_credits + c.completion_credits;
  return c;
}

double fraction_of(const job& j, const assignment& a) {
  const std::uint64_t width =
      a.column_last > a.column_first ? a.column_last - a.column_first : std::uint64_t{0};
  return static_cast<double>(std::max<std::uint64_t>(1, width)) /
         static_cast<double>(std::max<std::uint64_t>(1, j.columns));
}

/// The middle one; of an even count the mean of the middle two.
double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

double pressure_of(const job& j, const assignment& a, double fraction) {
  if (a.memory_bytes == 0) {
    return 1;
  }
  const double wanted = static_cast<double>(j.model_bytes) * fraction;
  return std::clamp(wanted / static_cast<double>(a.memory_bytes), 0.0, 1.0);
}

} // namespace

consumption quote(const job& j) { return consume(j, j.prompt_tokens, j.requested_tokens); }

consumption settlement(const job& j) { return consume(j, j.prompt_tokens, j.actual_tokens); }

std::optional<delta> realtime_delta(const job& j) {
  delta d;
  d.prompt_tokens = j.prompt_accounted ? 0 : j.prompt_tokens;
  d.completion_tokens =
      j.frontier_tokens > j.accounted_tokens ? j.frontier_tokens - j.accounted_tokens : 0;
  if (d.prompt_tokens == 0 && d.completion_tokens == 0) {
    return std::nullopt;
  }
  d.spent = consume(j, d.prompt_tokens, d.completion_tokens);
  if (j.assignments.empty()) {
    return d;
  }
  d.budget = std::max(1.0, static_cast<double>(d.prompt_tokens + d.completion_tokens)) *
             d.spent.model_size_factor;
  std::vector<double> units;
  std::vector<double> rates;
  double units_sum = 0;
  for (const assignment& a : j.assignments) {
    const double seconds = std::max(seconds_min, static_cast<double>(a.execution_ms) / 1000.0);
    units.push_back(static_cast<double>(std::max<std::uint64_t>(1, a.capacity_units)) *
                    std::max(fraction_of(j, a), epsilon));
    rates.push_back(units.back() / seconds);
    units_sum += units.back();
  }
  const double reference = std::max(median(rates), epsilon);
  double weights_sum = 0;
  for (std::size_t i = 0; i < j.assignments.size(); ++i) {
    contribution c;
    c.memory_pressure = pressure_of(j, j.assignments[i], fraction_of(j, j.assignments[i]));
    c.compute_share = units[i] / units_sum;
    c.service_rate = rates[i];
    c.reference_rate = reference;
    c.throughput_multiplier = std::clamp(rates[i] / reference, throughput_least, throughput_most);
    c.pressure_multiplier = pressure_base + pressure_span * c.memory_pressure;
    c.normalized_share = c.compute_share * c.throughput_multiplier * c.pressure_multiplier;
    weights_sum += c.normalized_share;
    d.contributions.push_back(c);
  }
  for (contribution& c : d.contributions) {
    c.normalized_share /= weights_sum;
    c.credits = d.budget * c.normalized_share;
  }
  return d;
}

} // namespace ovir::ledger::reference
