#include "ledger/rules/policy_numbers.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <type_traits>

namespace ovir::ledger {

namespace {

template <auto Member>
constexpr policy_number rule(std::string_view key) {
  return {key, [](const policy& p) -> std::uint64_t { return p.*Member; },
          [](policy& p, std::uint64_t value) { p.*Member = value; }};
}

template <auto Member>
constexpr policy_number term(std::string_view key) {
  return {key, [](const policy& p) -> std::uint64_t { return p.deterrence.*Member; },
          [](policy& p, std::uint64_t value) {
            using number = std::remove_reference_t<decltype(p.deterrence.*Member)>;
            const std::uint64_t most = std::numeric_limits<number>::max();
            p.deterrence.*Member = static_cast<number>(std::min(value, most));
          }};
}

constexpr std::array rules{
    rule<&policy::fee_ppm>("fee_ppm"),
    rule<&policy::cache_ppm>("cache_ppm"),
    rule<&policy::finder_ppm>("finder_ppm"),
    rule<&policy::audit_window_s>("audit_window_s"),
    rule<&policy::unlock_delay_s>("unlock_delay_s"),
    rule<&policy::reservation_s_max>("reservation_s_max"),
    rule<&policy::actions_per_minute_max>("actions_per_minute_max"),
    rule<&policy::admission_stake>("admission_stake"),
    rule<&policy::newcomer_units>("newcomer_units"),
    rule<&policy::newcomer_pool_ppm>("newcomer_pool_ppm"),
    rule<&policy::reputation_half_life_s>("reputation_half_life_s"),
    rule<&policy::epoch_entries>("epoch_entries"),
    rule<&policy::epoch_s>("epoch_s"),
    rule<&policy::relay_fee>("relay_fee"),
};

constexpr std::array terms{
    term<&deterrence_terms::audit_rate_ppm>("audit_rate_ppm"),
    term<&deterrence_terms::sensitivity_ppm>("sensitivity_ppm"),
    term<&deterrence_terms::false_conviction_ppm>("false_conviction_ppm"),
    term<&deterrence_terms::colluding_share_ppm>("colluding_share_ppm"),
    term<&deterrence_terms::auditors>("auditors"),
    term<&deterrence_terms::unit_fee>("unit_fee"),
    term<&deterrence_terms::saved>("saved"),
    term<&deterrence_terms::staying_value>("staying_value"),
    term<&deterrence_terms::stake>("stake"),
    term<&deterrence_terms::planted_ppm>("planted_ppm"),
    term<&deterrence_terms::audit_fee>("audit_fee"),
    term<&deterrence_terms::audit_cost>("audit_cost"),
    term<&deterrence_terms::auditor_stake>("auditor_stake"),
};

std::string_view word_of(refund_rule r) { return r == refund_rule::window ? "window" : "request"; }

} // namespace

std::span<const policy_number> rule_numbers() noexcept { return rules; }
std::span<const policy_number> deterrence_numbers() noexcept { return terms; }

std::string first_difference(const policy& told, const policy& instead) {
  const auto words = [](std::string_view key, std::string_view is, std::string_view other) {
    return std::string{key}.append(" is ").append(is).append(" instead of ").append(other);
  };
  if (told.deterrence.mode != instead.deterrence.mode) {
    return words("mode", to_string(told.deterrence.mode), to_string(instead.deterrence.mode));
  }
  for (const std::span<const policy_number> table : {rule_numbers(), deterrence_numbers()}) {
    for (const policy_number& n : table) {
      if (n.get(told) != n.get(instead)) {
        return words(n.key, std::to_string(n.get(told)), std::to_string(n.get(instead)));
      }
    }
  }
  return told.refund == instead.refund
             ? std::string{}
             : words("refund", word_of(told.refund), word_of(instead.refund));
}

} // namespace ovir::ledger
