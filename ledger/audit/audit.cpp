#include "ledger/audit/audit.hpp"

#include "messages/limits/audit.hpp"

#include <algorithm>
#include <set>

namespace ovir::ledger {

namespace {

/// So many hosts that compute what was stated end a case: the accused keeps its stake.
constexpr std::size_t contradictions_needed = 2;

} // namespace

audit_book::audit_book(node_id self, hash_chain chain, track_records& records, audit_settings how)
    : self_(self), chain_(std::move(chain)), records_(records), how_(how) {}

void audit_book::note(const node_id& node, work_event what, std::uint32_t units,
                      std::uint64_t now) {
  const track_event e{now, node, what, units};
  records_.apply(e);
  events_.push_back(e);
}

std::vector<track_event> audit_book::take_events() { return std::exchange(events_, {}); }

result<audit_book::drawn_units> audit_book::draw(const digest& head,
                                                 std::span<const stated_unit> units) {
  drawn_units drawn;
  drawn.index = used_ + 1;
  OVIR_ASSIGN(drawn.link, chain_.link(drawn.index));
  used_ = drawn.index;
  for (std::size_t i = 0; i < units.size(); ++i) {
    const stated_unit& unit = units[i];
    const std::uint64_t rate = records_.audit_rate(unit.signer, how_.least_rate_ppm);
    if (!records_.convicted(unit.signer) &&
        is_sampled(audit_draw(drawn.link, head, unit.key), rate)) {
      drawn.units.push_back(i);
    }
  }
  return drawn;
}

void audit_book::settle(std::span<const stated_unit> units, std::uint64_t now) {
  std::map<node_id, std::uint32_t> counts;
  for (const stated_unit& unit : units) {
    ++counts[unit.signer];
  }
  for (const auto& [node, count] : counts) {
    if (!records_.convicted(node)) {
      note(node, work_event::valid, count, now);
    }
  }
}

void audit_book::withheld(const node_id& node, std::uint64_t now) {
  if (!records_.convicted(node)) {
    note(node, work_event::missing, 1, now);
  }
}

std::vector<audit_effect> audit_book::differs(const stated_unit& unit, const digest& computed,
                                              std::span<const node_id> hosts, std::uint64_t now) {
  if (records_.convicted(unit.signer) || computed == unit.stated) {
    return {};
  }
  const bool known = std::any_of(cases_.begin(), cases_.end(), [&](const auto& entry) {
    return entry.second.unit == unit && !entry.second.planted;
  });
  if (known) {
    return {};
  }
  note(unit.signer, work_event::wrong, 1, now);
  const audit_case_id about{next_case_};
  if (cases_.size() >= limits::audit_cases_max) {
    return {leave_open{about, unit.signer, "too many mismatches wait for a second host"}};
  }
  ++next_case_;
  open_case& c = cases_[about];
  c.unit = unit;
  c.computed = computed;
  choose_hosts(c, hosts);
  return ask_next(about, c);
}

/// Not asked are this node, the accused, hosts that were caught answering without computing, and
/// those that already answered otherwise in this case.
void audit_book::choose_hosts(open_case& c, std::span<const node_id> hosts) const {
  std::set<node_id> once{self_, c.unit.signer};
  once.insert(c.contradicts.begin(), c.contradicts.end());
  for (const node_id& host : hosts) {
    if (c.left.size() < limits::second_opinions_asked_max && !records_.convicted(host) &&
        !records_.idle_auditor(host) && once.insert(host).second) {
      c.left.push_back(host);
    }
  }
  std::reverse(c.left.begin(), c.left.end());
}

std::vector<audit_effect> audit_book::ask_again(audit_case_id about,
                                                std::span<const node_id> hosts) {
  const auto found = cases_.find(about);
  if (found == cases_.end() || found->second.asked || !found->second.left.empty()) {
    return {};
  }
  choose_hosts(found->second, hosts);
  return ask_next(about, found->second);
}

std::size_t audit_book::planted_cases() const noexcept {
  return static_cast<std::size_t>(std::count_if(
      cases_.begin(), cases_.end(), [](const auto& entry) { return entry.second.planted; }));
}

std::vector<audit_effect> audit_book::plant(const stated_unit& unit,
                                            std::span<const node_id> hosts) {
  const bool known = std::any_of(cases_.begin(), cases_.end(),
                                 [&](const auto& entry) { return entry.second.unit == unit; });
  if (known || records_.convicted(unit.signer) || cases_.size() >= limits::audit_cases_max ||
      planted_cases() >= limits::audit_planted_max) {
    return {};
  }
  const audit_case_id about{next_case_++};
  open_case& c = cases_[about];
  c.unit = unit;
  c.computed = unit.stated;
  c.planted = true;
  choose_hosts(c, hosts);
  return ask_next(about, c);
}

/// Where no host is left to ask, the case waits for further ones: a single host that answers
/// otherwise may be in league with the accused. Planted cases wait likewise, so that how long
/// hosts are asked does not show which ones are planted.
std::vector<audit_effect> audit_book::ask_next(audit_case_id about, open_case& c) {
  if (c.left.empty()) {
    const node_id signer = c.unit.signer;
    const bool planted = c.planted;
    const bool contradicted = !c.contradicts.empty();
    if (c.contradicts.size() < contradictions_needed &&
        ++c.rounds < limits::second_opinion_rounds_max) {
      return {wait_for_host{about}};
    }
    cases_.erase(about);
    if (planted) {
      return {};
    }
    return {leave_open{about, signer,
                       contradicted ? "other hosts compute what was stated"
                                    : "no second host computed it again"}};
  }
  c.asked = c.left.back();
  c.left.pop_back();
  return {ask_host{about, *c.asked}};
}

std::vector<audit_effect> audit_book::answered(audit_case_id about, const node_id& host,
                                               const digest& computed, std::uint64_t now) {
  const auto found = cases_.find(about);
  if (found == cases_.end() || found->second.asked != host) {
    return {};
  }
  open_case& c = found->second;
  c.asked.reset();
  if (computed != c.computed) {
    c.contradicts.push_back(host);
    std::vector<audit_effect> effects;
    if (c.planted) {
      note(host, work_event::idle_audit, 1, now);
      effects.emplace_back(strike_auditor{about, host});
    }
    const auto more = ask_next(about, c);
    effects.insert(effects.end(), more.begin(), more.end());
    return effects;
  }
  if (c.planted) {
    cases_.erase(found);
    return {};
  }
  std::vector<audit_effect> effects;
  effects.emplace_back(convict_signer{about, c.unit.signer, {self_, host}});
  for (const node_id& idle : c.contradicts) { // two computed otherwise than it says it did
    note(idle, work_event::idle_audit, 1, now);
    effects.emplace_back(strike_auditor{about, idle});
  }
  cases_.erase(found);
  return effects;
}

std::vector<audit_effect> audit_book::silent(audit_case_id about, const node_id& host,
                                             std::uint64_t now) {
  const auto found = cases_.find(about);
  if (found == cases_.end() || found->second.asked != host) {
    return {};
  }
  found->second.asked.reset();
  note(host, work_event::missing, 1, now);
  return ask_next(about, found->second);
}

std::vector<audit_effect> audit_book::learn_conviction(const node_id& node, std::uint64_t now) {
  if (!records_.convicted(node)) {
    note(node, work_event::convicted, 1, now);
  }
  return forget(node);
}

std::vector<audit_effect> audit_book::learn_admission(const node_id& node, std::uint64_t now) {
  note(node, work_event::wrong, 1, now);
  return forget(node);
}

/// Drops what waits about `node`, and asks others where it was asked.
std::vector<audit_effect> audit_book::forget(const node_id& node) {
  std::erase_if(cases_, [&](const auto& entry) { return entry.second.unit.signer == node; });
  std::vector<audit_effect> effects;
  std::vector<audit_case_id> waiting;
  for (const auto& [about, c] : cases_) {
    if (c.asked == node) {
      waiting.push_back(about);
    }
  }
  for (const audit_case_id about : waiting) {
    const auto more = ask_next(about, cases_.at(about));
    effects.insert(effects.end(), more.begin(), more.end());
  }
  return effects;
}

bool audit_book::is_planted(audit_case_id about) const {
  const auto found = cases_.find(about);
  return found != cases_.end() && found->second.planted;
}

const stated_unit* audit_book::unit_of(audit_case_id about) const {
  const auto found = cases_.find(about);
  return found == cases_.end() ? nullptr : &found->second.unit;
}

} // namespace ovir::ledger
