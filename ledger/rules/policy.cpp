#include "ledger/rules/policy.hpp"

#include "messages/limits/carriage.hpp"
#include "messages/limits/ledger.hpp"

#include <string_view>

namespace ovir::ledger {

namespace {

constexpr std::uint64_t delay_most_s = 10ULL * 365 * 86'400;
constexpr std::uint64_t count_most = 1'000'000'000;
constexpr std::uint64_t epoch_entries_least = 16;
constexpr std::uint64_t epoch_entries_most = 1'000'000;
constexpr std::uint64_t epoch_most_s = 86'400;

struct bound {
  std::string_view name;
  std::uint64_t value;
  std::uint64_t least;
  std::uint64_t most;
};

} // namespace

result<void> check_ranges(const policy& p) {
  for (const bound& b :
       {bound{"fee_ppm", p.fee_ppm, 0, limits::ppm_one - 1},
        bound{"cache_ppm", p.cache_ppm, 0, limits::ppm_one},
        bound{"finder_ppm", p.finder_ppm, 0, limits::ppm_one - 1},
        bound{"audit_window_s", p.audit_window_s, 1, delay_most_s},
        bound{"unlock_delay_s", p.unlock_delay_s, p.audit_window_s, delay_most_s},
        bound{"reservation_s_max", p.reservation_s_max, 1, delay_most_s},
        bound{"actions_per_minute_max", p.actions_per_minute_max, 1, count_most},
        bound{"admission_stake", p.admission_stake, 0, limits::ledger_supply_max},
        bound{"newcomer_units", p.newcomer_units, 1, count_most},
        bound{"newcomer_pool_ppm", p.newcomer_pool_ppm, 0, limits::ppm_one},
        bound{"reputation_half_life_s", p.reputation_half_life_s, 1, delay_most_s},
        bound{"epoch_entries", p.epoch_entries, epoch_entries_least, epoch_entries_most},
        bound{"epoch_s", p.epoch_s, 1, epoch_most_s},
        bound{"relay_fee", p.relay_fee, 0, limits::relay_fee_max}}) {
    if (b.value < b.least || b.value > b.most) {
      return fail(errc::invalid_argument, "{} is {}; it must be {} to {}", b.name, b.value, b.least,
                  b.most);
    }
  }
  if (p.refund != refund_rule::window && p.refund != refund_rule::request) {
    return fail(errc::invalid_argument, "refund must be \"window\" or \"request\"");
  }
  const auto examined = examine(p.deterrence);
  return examined ? result<void>{} : examined.error();
}

policy free_policy() {
  policy p;
  p.actions_per_minute_max = limits::free_actions_per_minute;
  p.admission_stake = 0;
  p.audit_window_s = limits::free_audit_window_s;
  p.epoch_s = limits::free_epoch_s;
  p.relay_fee = 0;
  p.deterrence.mode = trust_mode::free;
  p.deterrence.audit_rate_ppm = limits::free_audit_rate_ppm;
  p.deterrence.planted_ppm = limits::free_planted_ppm;
  return p;
}

deterrence_terms terms_of(const policy& p) {
  deterrence_terms t = p.deterrence;
  t.finder_ppm = p.finder_ppm;
  return t;
}

result<void> check(const policy& p) {
  OVIR_TRY(check_ranges(p));
  return require_deterrence(terms_of(p));
}

} // namespace ovir::ledger
