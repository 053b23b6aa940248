#include "ledger/rules/standing.hpp"

#include "messages/limits/ledger.hpp"

#include <algorithm>

namespace ovir::ledger {

namespace {

using limits::ppm_one;

constexpr std::uint64_t prior_units = 100; // a few good units are no reputation yet
constexpr std::uint64_t link_units = 32;   // what a link weighs that was overdue

} // namespace

std::uint64_t reputation_ppm(const account& a, std::uint64_t now, const policy& rules) {
  if (a.ejected) {
    return 0;
  }
  const std::uint64_t silence = now > a.last_active ? now - a.last_active : 0;
  const std::uint64_t halvings = silence / rules.reputation_half_life_s;
  const wide assigned = wide{a.assigned_units} + wide{a.missed_links} * link_units;
  const wide share = wide{ppm_one} * a.valid_units / (assigned + prior_units);
  return halvings >= 64 ? 0 : static_cast<std::uint64_t>(share) >> halvings;
}

std::uint64_t audit_rate_ppm(const account& a, std::uint64_t least_ppm) {
  if (a.consecutive == 0) {
    return ppm_one;
  }
  return std::max(std::min(least_ppm, ppm_one),
                  ppm_one / a.consecutive + (ppm_one % a.consecutive != 0 ? 1 : 0));
}

micro_credits influence(const account& a, std::uint64_t now, const policy& rules) {
  return a.ejected ? 0 : a.firm_stake() + scaled(a.earned, reputation_ppm(a, now, rules), ppm_one);
}

bool is_newcomer(const account& a, const policy& rules) {
  return a.valid_units == 0 && (a.firm_stake() == 0 || a.firm_stake() < rules.admission_stake);
}

namespace {

result<void> check_stake(const node_id& node, const account* a, micro_credits least,
                         std::string_view what_for) {
  const micro_credits has = a == nullptr ? 0 : a->firm_stake();
  return has >= least
             ? result<void>{}
             : fail(errc::busy,
                    "{} has {} micro-credits at stake, and {} here takes {}: it has to lock the "
                    "rest (ledger.stake in its configuration)",
                    short_name(node), has, what_for, least);
}

} // namespace

result<void> check_server(const node_id& node, const account* a, const policy& rules) {
  if (a != nullptr && a->ejected) {
    return fail(errc::invalid_argument, "{} was convicted and takes part no more; plan without it",
                short_name(node));
  }
  switch (rules.deterrence.mode) {
  case trust_mode::free: return {};
  case trust_mode::bonded: return check_stake(node, a, rules.deterrence.stake, "serving");
  case trust_mode::zero_bond: break;
  }
  if (a != nullptr && is_newcomer(*a, rules) && a->pending_windows >= rules.newcomer_units) {
    return fail(errc::busy,
                "{} has neither stake nor history and {} windows pending, as many as it may; wait "
                "for their audit",
                short_name(node), a->pending_windows);
  }
  return {};
}

result<void> check_verifier(const node_id& node, const account* a, const policy& rules) {
  if (a != nullptr && a->ejected) {
    return fail(errc::invalid_argument, "{} was convicted and audits no more", short_name(node));
  }
  switch (rules.deterrence.mode) {
  case trust_mode::free: return {};
  case trust_mode::bonded: return check_stake(node, a, rules.deterrence.auditor_stake, "auditing");
  case trust_mode::zero_bond: break;
  }
  return a == nullptr || is_newcomer(*a, rules)
             ? check_stake(node, a, std::max<micro_credits>(rules.admission_stake, 1), "auditing")
             : result<void>{};
}

} // namespace ovir::ledger
