#include "tests/swarm/liars/escape_tally.hpp"

#include "messages/limits/ledger.hpp"
#include "tests/swarm/liars/escapes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <sstream>
#include <tuple>
#include <utility>

namespace ovir::swarm {

namespace {

/// Of a normal distribution, 99 % within.
constexpr double deviations = 2.576;
/// Of runs with the same number of lies; fewer are not judged by themselves.
constexpr std::uint64_t judged_least = 50;
/// Of the windows, how many are audited at a shipped rate: the liar has its standing.
constexpr double shipped_least = 0.8;

/// Who may audit an accrual, as `each_drawn` picks them.
struct audience {
  std::vector<bool> may;
  std::uint64_t weight{0};
  std::uint64_t honest_weight{0};
  bool overdue{false};
  bool honest_stand_in{false};
};

audience audience_of(const ledger::epoch_draw& d, const ledger::epoch_accrual& a,
                     const std::set<node_id>& colluders) {
  audience seen;
  seen.may.assign(d.verifiers.size(), true);
  for (const std::uint16_t place : a.barred) {
    seen.may[place] = false;
  }
  const auto silent = [&](std::size_t at) { return d.verifiers[at].link == digest{}; };
  const auto honest = [&](std::size_t at) { return !colluders.contains(d.verifiers[at].node); };
  const std::size_t count = seen.may.size();
  for (std::size_t at = 0; at < count; ++at) {
    if (!seen.may[at]) {
      continue;
    }
    seen.weight += d.verifiers[at].weight;
    seen.honest_weight += honest(at) ? d.verifiers[at].weight : 0;
    seen.overdue = seen.overdue || silent(at);
    for (std::size_t n = 1; silent(at) && n < count; ++n) {
      const std::size_t next = (at + n) % count;
      if (seen.may[next] && !silent(next)) {
        seen.honest_stand_in = seen.honest_stand_in || honest(next);
        break;
      }
    }
  }
  return seen;
}

double chance_of(const audience& seen, std::uint64_t rate_ppm) {
  if (rate_ppm == 0 || seen.weight == 0) {
    return 0;
  }
  if (seen.honest_stand_in) {
    return 1;
  }
  return static_cast<double>(rate_ppm) / limits::ppm_one * static_cast<double>(seen.honest_weight) /
         static_cast<double>(seen.weight);
}

std::string percent(double part, double of) {
  return of == 0 ? "-" : fmt::format("{:.2f} %", 100 * part / of);
}

std::string row(const std::string& name, const trials& t, bool failures) {
  const auto count = static_cast<double>(t.count());
  const auto seen = static_cast<double>(t.successes());
  const double told = failures ? count - seen : seen;
  const double expected = failures ? count - t.expected() : t.expected();
  return fmt::format("  {:<34} {:>7} {:>7} {:>9} {:>9} +- {:<8} {}\n", name, t.count(), told,
                     percent(told, count), percent(expected, count), percent(t.margin(), count),
                     t.within() ? "" : "OUTSIDE");
}

} // namespace

std::vector<lie_fate> fates_of(
    const ledger::epoch_draw& d, const node_id& signer,
    const std::function<bool(const digest& statement, std::uint32_t window, std::uint32_t last)>&
        lied,
    const std::set<node_id>& colluders) {
  using unit_key = std::tuple<digest, std::uint32_t>;
  std::map<unit_key, std::vector<node_id>> drawn;
  d.each_drawn([&](const ledger::drawn_unit& one) {
    if (one.unit.signer == signer) {
      drawn[{one.unit.request, one.unit.window}] = one.verifiers;
    }
  });
  std::vector<lie_fate> all;
  for (const ledger::epoch_accrual& a : d.accruals) {
    const audience seen = audience_of(d, a, colluders);
    for (const ledger::epoch_accrual::share& s : a.shares) {
      for (std::uint32_t w = a.first; s.signer == signer && w < a.first + a.windows; ++w) {
        if (!lied(s.statement, w, a.first + a.windows - 1)) {
          continue;
        }
        lie_fate one{
            s.rate_ppm, seen.overdue, chance_of(seen, s.rate_ppm), false, false, a.request, w, {}};
        if (const auto by = drawn.find({a.request, w}); by != drawn.end()) {
          one.drawn = true;
          one.verifiers = by->second;
          one.found = std::any_of(by->second.begin(), by->second.end(),
                                  [&](const node_id& v) { return !colluders.contains(v); });
        }
        all.push_back(one);
      }
    }
  }
  return all;
}

double trials::margin() const { return deviations * std::sqrt(variance_); }

bool trials::within() const {
  return std::abs(static_cast<double>(successes_) - expected_) <= margin() + 1e-9;
}

void escape_tally::add(const liar_fate& run) {
  ++runs_;
  with_lies_ += run.lied ? 1 : 0;
  convicted_ += run.convicted ? 1 : 0;
  honest_convictions_ += run.honest_convictions;
  unpaid_ += run.unpaid;
  windows_ += run.windows.size();
  double all_escape = 1;
  bool found = false;
  for (const lie_fate& one : run.windows) {
    all_escape *= 1 - one.chance;
    found = found || one.found;
    if (one.overdue) {
      others_.add(one.chance, one.found);
    } else {
      drawn_[one.rate_ppm].add(static_cast<double>(one.rate_ppm) / limits::ppm_one, one.drawn);
      found_[one.rate_ppm].add(one.chance, one.found);
    }
  }
  if (!run.windows.empty()) {
    escapes_[run.windows.size()].add(all_escape, !found);
    runs_escaped_.add(all_escape, !found);
  }
  found_runs_ += found ? 1 : 0;
  lost_runs_ += found && !run.convicted ? 1 : 0;
  by_others_ += !found && run.convicted ? 1 : 0;
}

std::string escape_tally::text() const {
  std::string out = fmt::format(
      "{} runs, {} with lies: {} windows that were paid for, {} that were not; {} liars convicted, "
      "{} honest convictions\n"
      "an honest verifier had to look at a lie in {} runs: {} liars were convicted, {} not; {} "
      "were "
      "convicted otherwise\n"
      "  {:<34} {:>7} {:>7} {:>9} {:>9}\n",
      runs_, with_lies_, windows_, unpaid_, convicted_, honest_convictions_, found_runs_,
      found_runs_ - lost_runs_, lost_runs_, by_others_, "escaped, 99 % interval", "of", "escaped",
      "share", "predicted");
  for (const auto& [rate, t] : drawn_) {
    out +=
        row(fmt::format("windows not drawn at {:.1f} %", static_cast<double>(rate) / 1e4), t, true);
  }
  for (const auto& [rate, t] : found_) {
    out +=
        row(fmt::format("... by no honest verifier at {:.1f} %", static_cast<double>(rate) / 1e4),
            t, true);
  }
  out += row("windows while a link was missing", others_, true);
  for (const auto& [lies, t] : escapes_) {
    out += row(fmt::format("runs with {} lies, none found", lies), t, false);
  }
  return out + row("runs with lies, none found", runs_escaped_, false);
}

std::vector<std::string> escape_tally::wrong() const {
  std::vector<std::string> all;
  const auto judge = [&all](const trials& t, const std::string& what) {
    if (t.count() >= judged_least && !t.within()) {
      all.push_back(fmt::format("{}: {} of {}, and not {:.1f} +- {:.1f}", what, t.successes(),
                                t.count(), t.expected(), t.margin()));
    }
  };
  std::uint64_t at_shipped = 0;
  std::uint64_t at_any = 0;
  for (const auto& [rate, t] : drawn_) {
    judge(t, fmt::format("lies drawn at {} ppm", rate));
    at_shipped += rate == shipped_rate_ppm || rate == limits::free_audit_rate_ppm ? t.count() : 0;
    at_any += t.count();
  }
  if (static_cast<double>(at_shipped) < shipped_least * static_cast<double>(at_any)) {
    all.push_back(fmt::format("{} of {} lies were audited at a shipped rate", at_shipped, at_any));
  }
  for (const auto& [rate, t] : found_) {
    judge(t, fmt::format("lies drawn for honest verifiers at {} ppm", rate));
  }
  judge(others_, "lies drawn for honest verifiers while a link was missing");
  judge(runs_escaped_, "runs of which all lies escape");
  return all;
}

template <class Self, class Visit>
void escape_tally::each(Self& self, Visit visit) {
  for (auto* const number :
       {&self.runs_, &self.with_lies_, &self.convicted_, &self.honest_convictions_, &self.unpaid_,
        &self.windows_, &self.found_runs_, &self.lost_runs_, &self.by_others_}) {
    visit(*number);
  }
  trials::each(self.runs_escaped_, visit);
  trials::each(self.others_, visit);
}

std::string escape_tally::numbers() const {
  std::string out = "all";
  const auto add = [&out](auto number) { out += fmt::format(" {}", number); };
  each(*this, add);
  for (const auto& [name, map] : {std::pair{"drawn", &drawn_}, std::pair{"found", &found_}}) {
    for (const auto& [rate, t] : *map) {
      out += fmt::format("\n{} {}", name, rate);
      trials::each(t, add);
    }
  }
  for (const auto& [lies, t] : escapes_) {
    out += fmt::format("\nescapes {}", lies);
    trials::each(t, add);
  }
  return out + "\n";
}

bool escape_tally::read(const std::string& numbers) {
  std::istringstream lines{numbers};
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words{line};
    std::string name;
    std::uint64_t key = 0;
    words >> name;
    const auto take = [&words](auto& number) { words >> number; };
    if (name == "all") {
      each(*this, take);
    } else if (words >> key; name == "drawn" || name == "found") {
      trials::each((name == "drawn" ? drawn_ : found_)[key], take);
    } else if (name == "escapes") {
      trials::each(escapes_[key], take);
    } else {
      return false;
    }
    if (words.fail()) {
      return false;
    }
  }
  return true;
}

} // namespace ovir::swarm
