#pragma once

#include "ledger/rules/policy.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// A market of providers over the ledger's own rules: who earns what by which strategy
/// (docs/performance/economy.md). Every credit is moved by `ledger::state`; what is simulated is
/// who is asked, who cheats, and who is audited.
namespace ovir::test {

enum class strategy : std::uint8_t {
  honest,    ///< computes everything
  lazy,      ///< leaves out every fifth unit, once it is audited as little as the policy allows
  lying,     ///< computes until it is audited as little as the policy allows, then nothing more
  impatient, ///< computes nothing from the first unit on
  colluding, ///< as `lying`, and the policy's share of the auditors vouches for it
  sybil,     ///< as `impatient`; convicted, it comes back under a new key, stake and all
  patient,   ///< as `lying`, and comes back likewise: each key earns a history and cashes it in
};
inline constexpr std::size_t strategies = 7;
[[nodiscard]] std::string_view to_string(strategy s) noexcept;

struct economy_options {
  ledger::policy rules;
  std::uint64_t requests{10'000};
  std::uint64_t seed{1};
  std::uint32_t honest{24}; ///< operators
  std::uint32_t of_each_other{4};
};

struct strategy_earnings {
  strategy what{strategy::honest};
  std::uint32_t operators{0};
  std::uint64_t units{0};   ///< slices of windows they were asked for
  std::uint64_t cheated{0}; ///< of these
  std::uint64_t convictions{0};
  std::uint64_t identities{0}; ///< used
  double mean{0};              ///< credits earned less computing, per operator
  double most{0};              ///< of the one who earned most
  std::vector<double> course;  ///< the mean after each of `points` equal parts of the requests
};

struct economy_result {
  std::vector<strategy_earnings> by_strategy; ///< in the order of `strategy`
  std::uint64_t entries{0};
  std::uint64_t wrong_units_paid{0}; ///< cheated and never found
  std::uint64_t honest_convicted{0}; ///< operators
  ledger::micro_credits burnt{0};
};
inline constexpr std::size_t points = 40;

/// Two accepted policies, and one of each kind that the ledger refuses, as it should.
[[nodiscard]] ledger::policy bonded_policy();
[[nodiscard]] ledger::policy zero_bond_policy();
/// As that one, audited so seldom that cheating pays.
[[nodiscard]] ledger::policy seldom_audited(ledger::policy p);

/// The same options give the same result, to the last digit. Ends the program where a rule of the
/// ledger is broken: the invariants are checked all along.
[[nodiscard]] economy_result run_economy(const economy_options& o);

} // namespace ovir::test
