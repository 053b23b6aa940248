#pragma once

#include "ledger/rules/wide.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Why cheating does not pay: the inequalities that a policy must satisfy for its own numbers.
/// All ratios are parts per million, all amounts micro-credits; every rounding is against the
/// policy. docs/proofs proves what is claimed here.
namespace ovir::ledger {

enum class trust_mode : std::uint8_t {
  bonded = 1,    ///< ODSI: stake, slashing, a low audit rate
  zero_bond = 2, ///< OGONG: no stake; withheld fee, ejection, a high audit rate
  free = 3       ///< requests are entered and audited, and nothing is charged or paid
};

[[nodiscard]] std::string_view to_string(trust_mode mode) noexcept;

/// The numbers of the inequality q (p + Phi + b) >= D and its kin. A unit here is what is paid and
/// audited at once: the whole model over one window.
struct deterrence_terms {
  trust_mode mode{trust_mode::bonded};
  std::uint64_t audit_rate_ppm{0};          ///< a: how many units are audited at least
  std::uint64_t sensitivity_ppm{1'000'000}; ///< of the audited cheats, how many an audit finds
  std::uint64_t false_conviction_ppm{0};    ///< e: honest units convicted; 0 with bitwise replay
  std::uint64_t colluding_share_ppm{0};     ///< kappa: of the auditors, how many are in league
  std::uint32_t auditors{1};                ///< m: of whom one honest is enough, 1 to 16
  micro_credits unit_fee{0};                ///< p
  micro_credits saved{0};                   ///< D: computing that a cheat saves
  micro_credits staying_value{0};           ///< Phi: what staying in is worth
  micro_credits stake{0};                   ///< b: what can be lost beside; 0 when zero-bond
  std::uint64_t finder_ppm{0}; ///< of a lost stake, what its owner may get back by finding himself
  // Auditors are paid, too, and may say "right" without looking.
  std::uint64_t planted_ppm{0};   ///< of the units they get, how many have a known answer
  micro_credits audit_fee{0};     ///< for one audit
  micro_credits audit_cost{0};    ///< of one audit: what a lazy auditor saves
  micro_credits auditor_stake{0}; ///< 0 when zero-bond
};

/// q: the probability that a cheated unit is detected, rounded down:
/// audit rate * sensitivity * (1 - kappa^m).
[[nodiscard]] std::uint64_t detection_ppm(const deterrence_terms& t);

/// One inequality, evaluated.
struct deterrence_finding {
  std::string theorem; ///< "provider", "auditor"
  bool holds{false};
  wide at_risk{0};    ///< left side, in millionths of micro-credits
  wide saved{0};      ///< right side, likewise
  std::string advice; ///< which number to change, and to what; empty when it holds
};

/// Checks both theorems. A stake counts as far as its owner cannot get it back as the finder of his
/// own fault: (10^6 - finder_ppm) of 10^6 (docs/proofs). `invalid_argument` for numbers out of
/// their range, among them a stake in zero-bond mode.
[[nodiscard]] result<std::vector<deterrence_finding>> examine(const deterrence_terms& t);

/// Nothing when the policy deters; else `invalid_argument` with what fails and what to change.
/// A node does not start with a policy that fails here.
[[nodiscard]] result<void> require_deterrence(const deterrence_terms& t);

/// 1 - (1 - a)^k in ppm, rounded down: the probability that at least one of `units` cheated units
/// is caught at audit rate `a_ppm`.
[[nodiscard]] std::uint64_t caught_ppm(std::uint64_t a_ppm, std::uint64_t units);

/// ceil(10^6 * saved / (fee + staying + stake)): the q that is needed; above 10^6 none is enough.
[[nodiscard]] std::uint64_t needed_detection_ppm(micro_credits saved, micro_credits fee,
                                                 micro_credits staying, micro_credits stake);

} // namespace ovir::ledger
