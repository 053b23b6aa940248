#include "ledger/rules/deterrence.hpp"

#include "messages/limits/ledger.hpp"

#include <algorithm>
#include <limits>

namespace ovir::ledger {

namespace {

using limits::ppm_one;

constexpr std::uint32_t auditors_max = 16;

std::uint64_t mul_ppm_down(std::uint64_t a, std::uint64_t b) { return scaled(a, b, ppm_one); }

std::uint64_t mul_ppm_up(std::uint64_t a, std::uint64_t b) {
  const wide product = wide{a} * b;
  return static_cast<std::uint64_t>(product / ppm_one + (product % ppm_one != 0 ? 1 : 0));
}

/// The probability that all `m` auditors are in league, rounded up.
std::uint64_t all_collude_ppm(const deterrence_terms& t) {
  std::uint64_t all = ppm_one;
  for (std::uint32_t i = 0; i < t.auditors; ++i) {
    all = mul_ppm_up(all, t.colluding_share_ppm);
  }
  return all;
}

std::uint64_t per_audit_ppm(const deterrence_terms& t) {
  return mul_ppm_down(t.sensitivity_ppm, ppm_one - all_collude_ppm(t));
}

wide ceil_div(wide a, wide b) { return a / b + (a % b != 0 ? 1 : 0); }

/// What a convicted provider loses for certain.
micro_credits stake_lost(const deterrence_terms& t) {
  return mul_ppm_down(t.stake, ppm_one - t.finder_ppm);
}

/// Who is paid nothing saves nothing by a cheat: no amount has a meaning.
result<void> check_free(const deterrence_terms& t) {
  const bool moves = t.unit_fee != 0 || t.saved != 0 || t.stake != 0 || t.audit_fee != 0 ||
                     t.audit_cost != 0 || t.auditor_stake != 0;
  return t.mode == trust_mode::free && moves
             ? fail(errc::invalid_argument,
                    "mode is free, and nothing is paid; set unit_fee, saved, stake, audit_fee, "
                    "audit_cost and auditor_stake to 0, or the mode to bonded or zero-bond")
             : result<void>{};
}

result<void> check_ranges(const deterrence_terms& t) {
  struct ratio {
    std::string_view name;
    std::uint64_t value;
  };
  for (const ratio& r :
       {ratio{"audit_rate_ppm", t.audit_rate_ppm}, ratio{"sensitivity_ppm", t.sensitivity_ppm},
        ratio{"false_conviction_ppm", t.false_conviction_ppm},
        ratio{"colluding_share_ppm", t.colluding_share_ppm}, ratio{"planted_ppm", t.planted_ppm}}) {
    if (r.value > ppm_one) {
      return fail(errc::invalid_argument, "{} is {}; it is in parts per million, at most {}",
                  r.name, r.value, ppm_one);
    }
  }
  struct amount {
    std::string_view name;
    micro_credits value;
  };
  for (const amount& a : {amount{"unit_fee", t.unit_fee}, amount{"saved", t.saved},
                          amount{"staying_value", t.staying_value}, amount{"stake", t.stake},
                          amount{"audit_fee", t.audit_fee}, amount{"audit_cost", t.audit_cost},
                          amount{"auditor_stake", t.auditor_stake}}) {
    if (a.value > limits::ledger_supply_max) {
      return fail(errc::invalid_argument, "{} is {} micro-credits; at most {} exist", a.name,
                  a.value, limits::ledger_supply_max);
    }
  }
  if (t.auditors == 0 || t.auditors > auditors_max) {
    return fail(errc::invalid_argument, "auditors is {}; it must be 1 to {}", t.auditors,
                auditors_max);
  }
  if (t.mode < trust_mode::bonded || t.mode > trust_mode::free) {
    return fail(errc::invalid_argument, "mode is {}; there are bonded, zero-bond and free",
                static_cast<unsigned>(t.mode));
  }
  if (t.mode == trust_mode::zero_bond && (t.stake != 0 || t.auditor_stake != 0)) {
    return fail(errc::invalid_argument,
                "mode is zero-bond, but stake is {} and auditor_stake {}; set both to 0, or the "
                "mode to bonded",
                t.stake, t.auditor_stake);
  }
  return check_free(t);
}

/// How the left side reaches the right one, one number at a time.
std::string provider_advice(const deterrence_terms& t, wide risk_per_unit) {
  const std::uint64_t per_audit = per_audit_ppm(t);
  const std::uint64_t q = detection_ppm(t);
  std::string advice;
  const auto add = [&](std::string_view name, std::uint64_t from, wide to) {
    advice += fmt::format("{}{} from {} to {}", advice.empty() ? "raise " : ", or ", name, from,
                          static_cast<std::uint64_t>(to));
  };
  if (risk_per_unit > 0 && per_audit > 0) {
    const wide net = ceil_div(wide{t.saved} * ppm_one, risk_per_unit) + t.false_conviction_ppm;
    // floor(a * s / 10^6) >= net needs a >= ceil(net * 10^6 / s).
    const wide rate = ceil_div(net * ppm_one, per_audit);
    if (rate <= ppm_one) {
      add("audit_rate_ppm", t.audit_rate_ppm, rate);
    }
  }
  if (q > t.false_conviction_ppm) {
    const wide needed = ceil_div(wide{t.saved} * ppm_one, wide{q - t.false_conviction_ppm});
    const wide more = needed - risk_per_unit; // the inequality fails, so this is positive
    if (more <= limits::ledger_supply_max) {
      if (t.mode == trust_mode::bonded) {
        const std::uint64_t kept = std::max<std::uint64_t>(ppm_one - t.finder_ppm, 1);
        if (const wide stake = ceil_div((stake_lost(t) + more) * ppm_one, kept);
            stake <= limits::ledger_supply_max) {
          add("stake", t.stake, stake);
        }
      }
      add("unit_fee", t.unit_fee, t.unit_fee + more);
    }
  }
  if (advice.empty()) {
    advice = per_audit <= t.false_conviction_ppm
                 ? "no audit rate helps: lower colluding_share_ppm or false_conviction_ppm, or "
                   "raise auditors or sensitivity_ppm"
                 : "raise unit_fee, staying_value or audit_rate_ppm; no single one is enough";
  }
  return advice;
}

deterrence_finding provider(const deterrence_terms& t) {
  deterrence_finding f;
  f.theorem = "provider";
  const wide risk = wide{t.unit_fee} + t.staying_value + stake_lost(t);
  const std::uint64_t q = detection_ppm(t);
  f.at_risk = q > t.false_conviction_ppm ? (q - t.false_conviction_ppm) * risk : wide{0};
  f.saved = wide{t.saved} * ppm_one;
  f.holds = f.at_risk >= f.saved;
  if (!f.holds) {
    f.advice = provider_advice(t, risk);
  }
  return f;
}

deterrence_finding auditor(const deterrence_terms& t) {
  deterrence_finding f;
  f.theorem = "auditor";
  const wide risk = wide{t.audit_fee} + t.staying_value + t.auditor_stake;
  f.at_risk = t.planted_ppm * risk;
  f.saved = wide{t.audit_cost} * ppm_one;
  f.holds = f.at_risk >= f.saved;
  if (!f.holds) {
    const wide needed = risk == 0 ? wide{ppm_one} + 1 : ceil_div(f.saved, risk);
    f.advice = needed <= ppm_one
                   ? fmt::format("raise planted_ppm from {} to {}", t.planted_ppm,
                                 static_cast<std::uint64_t>(needed))
                   : fmt::format("raise audit_fee above audit_cost, which is {}; planted units "
                                 "alone do not help",
                                 t.audit_cost);
  }
  return f;
}

} // namespace

std::string_view to_string(trust_mode mode) noexcept {
  switch (mode) {
  case trust_mode::bonded: return "bonded";
  case trust_mode::zero_bond: return "zero-bond";
  case trust_mode::free: return "free";
  }
  return "?";
}

std::uint64_t detection_ppm(const deterrence_terms& t) {
  return mul_ppm_down(t.audit_rate_ppm, per_audit_ppm(t));
}

result<std::vector<deterrence_finding>> examine(const deterrence_terms& t) {
  OVIR_TRY(check_ranges(t));
  return std::vector<deterrence_finding>{provider(t), auditor(t)};
}

result<void> require_deterrence(const deterrence_terms& t) {
  OVIR_ASSIGN(const std::vector<deterrence_finding> findings, examine(t));
  for (const deterrence_finding& f : findings) {
    if (!f.holds) {
      return fail(errc::invalid_argument,
                  "this {} policy makes cheating pay for a {}: it risks {} and saves {} "
                  "micro-credits per unit; {}",
                  to_string(t.mode), f.theorem, static_cast<std::uint64_t>(f.at_risk / ppm_one),
                  static_cast<std::uint64_t>(f.saved / ppm_one), f.advice);
    }
  }
  return {};
}

std::uint64_t caught_ppm(std::uint64_t a_ppm, std::uint64_t units) {
  // (1 - a)^k by squaring, each product rounded up: never more caught than there is.
  std::uint64_t base = ppm_one - std::min(a_ppm, ppm_one);
  std::uint64_t missed = ppm_one;
  for (; units > 0; units /= 2) {
    missed = units % 2 == 1 ? mul_ppm_up(missed, base) : missed;
    base = mul_ppm_up(base, base);
  }
  return ppm_one - missed;
}

std::uint64_t needed_detection_ppm(micro_credits saved, micro_credits fee, micro_credits staying,
                                   micro_credits stake) {
  const wide risk = wide{fee} + staying + stake;
  if (risk == 0) {
    return saved == 0 ? 0 : ppm_one + 1;
  }
  const wide needed = ceil_div(wide{saved} * ppm_one, risk);
  return static_cast<std::uint64_t>(std::min(needed, wide{ppm_one} + 1));
}

} // namespace ovir::ledger
