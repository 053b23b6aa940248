#pragma once

#include "ledger/rules/deterrence.hpp"
#include "ledger/rules/wide.hpp"
#include "messages/result.hpp"

#include <cstdint>

/// The rules of one ledger, fixed in its first entry: every replay uses the same ones.
namespace ovir::ledger {

/// What a conviction gives back to the consumer.
enum class refund_rule : std::uint8_t {
  window = 1, ///< the first wrong window and everything later; windows before it stand
  request = 2 ///< the whole request (OGONG)
};

struct policy {
  std::uint64_t fee_ppm{10'000};              ///< of each accrual, to the assurance account
  std::uint64_t cache_ppm{100'000};           ///< of a cached window's amount, to who served it
  std::uint64_t finder_ppm{100'000};          ///< of what is left of a slashed stake; below 10^6
  std::uint64_t audit_window_s{3'600};        ///< pending this long before release; at least 1
  std::uint64_t unlock_delay_s{604'800};      ///< stake stays at stake this long; >= audit_window_s
  std::uint64_t reservation_s_max{86'400};    ///< the longest life of a reservation
  std::uint64_t actions_per_minute_max{600};  ///< of one account, refused beyond with `busy`
  micro_credits admission_stake{10 * credit}; ///< without bonds: serves instead of history
  std::uint64_t newcomer_units{64}; ///< pending windows at once of one without stake and history
  std::uint64_t newcomer_pool_ppm{100'000}; ///< of all pending windows, those of all such together
  std::uint64_t reputation_half_life_s{2'592'000}; ///< of silence
  std::uint64_t epoch_entries{256};                ///< after so many an epoch of audits is closed
  std::uint64_t epoch_s{20};                       ///< or so long after its first accrual
  /// Of who received it to the relay, for each MiB that it carried; 0: relays are not paid.
  micro_credits relay_fee{1'000};
  refund_rule refund{refund_rule::window};
  deterrence_terms deterrence;
};

/// Of a swarm whose owner set no prices: requests are entered and audited, and cost nothing.
[[nodiscard]] policy free_policy();
[[nodiscard]] inline bool is_free(const policy& p) noexcept {
  return p.deterrence.mode == trust_mode::free;
}

/// The terms of the inequalities, the finder's fee of the rules included.
[[nodiscard]] deterrence_terms terms_of(const policy& p);

/// Every number within its range, the deterrence inequalities included. `invalid_argument` says
/// which number to change.
[[nodiscard]] result<void> check(const policy& p);
/// The ranges alone: what a replay needs of a policy that was once accepted.
[[nodiscard]] result<void> check_ranges(const policy& p);

} // namespace ovir::ledger
