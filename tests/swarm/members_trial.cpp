#include "tests/swarm/members_trial.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>
#include <numeric>

// What churn costs a settled crowd (docs/SIMULATION.md).

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using namespace ovir::actors;

constexpr std::chrono::seconds settling{10};
constexpr std::chrono::seconds agreed_within{180};
constexpr std::size_t members_observers = 16;

// Bounds of a run, of any number of nodes; bytes each second.
constexpr double mean_bytes = 5'000;
constexpr double few_bytes = 9'000; // below `many` nodes, which have more looks each
constexpr std::size_t many = 2'000;
// A node hears of another from three neighbours that count it, and of those from three of theirs;
// what few nodes missed, digests heal, which thousands exchange rarely.
constexpr double most_seconds = 150; // for 99 %
constexpr double all_seconds = 180;
constexpr double few_seconds = 60; // for all, of few
constexpr double missing_share = 0.03;
constexpr double ghost_share = 0.03;

double in_seconds(nanoseconds span) { return std::chrono::duration<double>(span).count(); }

spread spread_of(std::vector<double> all) {
  if (all.empty()) {
    return {};
  }
  std::sort(all.begin(), all.end());
  const double sum = std::accumulate(all.begin(), all.end(), 0.0);
  return {sum / static_cast<double>(all.size()), all[(all.size() - 1) * 99 / 100], all.back()};
}

crowd_plan settled_plan(crowd_plan plan) {
  plan.settled = plan.silent = plan.loads = true;
  plan.seeds = 1;
  return plan;
}

} // namespace

members_trial::members_trial(crowd_plan plan)
    : plan_(settled_plan(std::move(plan))), crowd_(plan_) {}

/// Both kinds of change are seen by 99 % and by all of those that can see it.
void members_trial::look(change& one) const {
  const double passed = in_seconds(crowd_.now() - one.at);
  if (one.most < 0 && one.seen * 100 >= one.of * 99) {
    one.most = passed;
  }
  if (one.seen < one.of) {
    one.all = -1;
  } else if (one.all < 0) {
    one.all = passed;
  }
}

void members_trial::came(std::size_t i) {
  change& one = arrivals_[i];
  one.at = crowd_.now();
  one.saw.resize(i);
  for (std::size_t j = 0; j < i; ++j) {
    one.of += crowd_.running(j) ? 1 : 0;
  }
  learned_[i] = {};
  ++report_.came;
}

void members_trial::went(std::size_t i) {
  ++report_.went;
  learned_.erase(i);
  if (arrivals_.contains(i) && arrivals_[i].all < 0) {
    arrivals_.erase(i); // it was not there for long
  }
  for (auto& [j, one] : arrivals_) {
    if (i < j) {
      --one.of;
      one.seen -= one.saw[i] ? 1 : 0;
      one.saw[i] = false;
      look(one);
    }
  }
  for (auto& [j, one] : deaths_) {
    if (i < one.saw.size() && one.saw[i]) { // it no longer sees anyone
      one.saw[i] = false;
      ++one.seen;
      look(one);
    }
  }
  change& death = deaths_[i];
  death.at = crowd_.now();
  death.saw.resize(crowd_.size());
  for (std::size_t j = 0; j < crowd_.size(); ++j) {
    death.saw[j] = j != i && crowd_.running(j) &&
                   crowd_.membership(j).health(crowd_.id(i)) == member_health::alive;
    death.of += death.saw[j] ? 1 : 0;
  }
}

/// `saw` of a death says who still sees it alive.
void members_trial::sees(std::size_t i, std::size_t j, member_health health) {
  const bool counts = health == member_health::alive || health == member_health::suspect;
  if (const auto at = arrivals_.find(j);
      at != arrivals_.end() && i < j && at->second.all < 0 && !at->second.saw[i] && counts) {
    at->second.saw[i] = true;
    ++at->second.seen;
    look(at->second);
  }
  if (const auto at = deaths_.find(j); at != deaths_.end()) {
    change& one = at->second;
    one.saw.resize(std::max(one.saw.size(), i + 1));
    const bool alive = health == member_health::alive;
    if (alive != one.saw[i]) {
      one.saw[i] = alive;
      one.of += alive ? 1 : 0;
      one.seen += alive ? 0 : 1;
      look(one);
    }
  }
}

std::size_t members_trial::wrong_views(std::size_t i, bool there) const {
  std::size_t wrong = 0;
  for (std::size_t j = 0; j < crowd_.size(); ++j) {
    const bool alive = crowd_.membership(i).health(crowd_.id(j)) == member_health::alive;
    wrong += alive != crowd_.running(j) && crowd_.running(j) == there ? 1 : 0;
  }
  return wrong;
}

/// Who came later is another matter: all of them are to see it (`came`).
void members_trial::look_what_it_learned(std::size_t i, learning& took) const {
  std::size_t older = 0;
  std::size_t lacks = 0;
  for (std::size_t j = 0; j < i && took.all < 0; ++j) {
    older += crowd_.running(j) ? 1 : 0;
    lacks += crowd_.running(j) && crowd_.membership(i).health(crowd_.id(j)) != member_health::alive
                 ? 1
                 : 0;
  }
  const double passed = in_seconds(crowd_.now() - crowd_.started(i));
  if (took.most < 0 && lacks * 100 <= older) {
    took.most = passed;
  }
  if (took.all < 0 && lacks == 0) {
    took.all = passed;
  }
}

void members_trial::sample_newcomers() {
  for (auto& [i, took] : learned_) {
    if (crowd_.running(i)) {
      look_what_it_learned(i, took);
    }
  }
}

void members_trial::sample() {
  const std::size_t running = crowd_.running_now();
  sample_newcomers();
  chance draws = chance{plan_.seed}.split(static_cast<std::uint64_t>(crowd_.now().count()));
  for (std::size_t n = 0; n < members_observers; ++n) {
    const std::size_t i = draws.below(crowd_.size());
    if (crowd_.running(i)) {
      views_ += running;
      missing_ += wrong_views(i, true);
      ghosts_ += wrong_views(i, false);
    }
  }
  for (std::size_t i = 0; i < crowd_.size(); ++i) {
    if (crowd_.running(i)) {
      links_.push_back(static_cast<double>(crowd_.links(i)));
    }
  }
}

void members_trial::measure_traffic(double seconds) {
  std::vector<double> sent;
  std::vector<double> received;
  std::vector<double> shaken;
  double sum = 0;
  for (std::size_t i = 0; i < crowd_.size(); ++i) {
    const crowd_traffic t = crowd_.traffic(i);
    sum += static_cast<double>(t.sent + t.shaken);
    report_.messages += static_cast<double>(t.messages);
    if (crowd_.running(i) && crowd_.started(i) == 0ns) {
      sent.push_back(static_cast<double>(t.sent) / seconds);
      received.push_back(static_cast<double>(t.received) / seconds);
      shaken.push_back(static_cast<double>(t.shaken) / seconds);
    }
  }
  report_.sent = spread_of(std::move(sent));
  report_.received = spread_of(std::move(received));
  report_.shaken = spread_of(std::move(shaken));
  report_.overall = sum / phase_.node_seconds;
  report_.messages /= phase_.node_seconds;
}

void members_trial::until_agreed() {
  std::size_t doubtful = 0;
  for (auto s = 0s; s <= agreed_within; s += 1s) {
    std::size_t agreed = 0;
    for (; agreed < crowd_.size(); ++agreed) {
      const std::size_t i = (doubtful + agreed) % crowd_.size();
      if (crowd_.running(i) && wrong_views(i, true) + wrong_views(i, false) > 0) {
        doubtful = i;
        break;
      }
    }
    if (agreed == crowd_.size()) {
      report_.agreed = in_seconds(s);
      return;
    }
    crowd_.pass(1s);
    sample_newcomers();
  }
  report_.violations.push_back(who_disagrees());
}

/// The first few wrong views.
std::string members_trial::who_disagrees() const {
  std::string out = "wrong at the end:";
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < crowd_.size(); ++i) {
    for (std::size_t j = 0; j < crowd_.size() && crowd_.running(i); ++j) {
      const auto seen = crowd_.membership(i).health(crowd_.id(j));
      if ((seen == member_health::alive) != crowd_.running(j) && ++wrong <= 4) {
        out +=
            fmt::format(" n{} ({:.0f} s old) holds n{} ({:.0f} s, {}) for {};", i,
                        in_seconds(crowd_.now() - crowd_.started(i)), j,
                        in_seconds(crowd_.now() - crowd_.started(j)),
                        crowd_.running(j) ? "runs" : "is dead", seen ? static_cast<int>(*seen) : 0);
      }
    }
  }
  return fmt::format("{} views {}", wrong, out);
}

void members_trial::conclude() {
  std::vector<double> known_most;
  std::vector<double> known_all;
  std::vector<double> gone_most;
  std::vector<double> gone_all;
  std::vector<double> learned_most;
  std::vector<double> learned_all;
  const auto gather = [&](const std::map<std::size_t, change>& all, std::vector<double>& most,
                          std::vector<double>& every) {
    for (const auto& [i, one] : all) {
      report_.unsettled += one.all < 0 || one.most < 0 ? 1 : 0;
      most.push_back(one.most);
      every.push_back(one.all);
    }
  };
  gather(arrivals_, known_most, known_all);
  gather(deaths_, gone_most, gone_all);
  for (const auto& [i, took] : learned_) {
    const double age = in_seconds(crowd_.now() - crowd_.started(i));
    learned_most.push_back(took.most < 0 ? age : took.most); // at least
    learned_all.push_back(took.all < 0 ? age : took.all);
  }
  report_.known_by_most = spread_of(std::move(known_most));
  report_.known_by_all = spread_of(std::move(known_all));
  report_.gone_for_most = spread_of(std::move(gone_most));
  report_.gone_for_all = spread_of(std::move(gone_all));
  report_.knows_most = spread_of(std::move(learned_most));
  report_.knows_all = spread_of(std::move(learned_all));
  report_.links = spread_of(std::move(links_));
  const double views = static_cast<double>(std::max<std::uint64_t>(views_, 1));
  report_.missing = static_cast<double>(missing_) / views;
  report_.ghosts = static_cast<double>(ghosts_) / views;
  report_.wrong_deaths = phase_.deaths;
  report_.digest = crowd_.digest();
  report_.violations.insert(report_.violations.end(), crowd_.violations().begin(),
                            crowd_.violations().end());
}

void members_trial::expect(const std::string& what, double value, double most) {
  if (!(value >= 0 && value <= most)) {
    report_.violations.push_back(
        fmt::format("{}: {:.4g}, of which at most {:.4g} is expected", what, value, most));
  }
}

void members_trial::judge() {
  expect("bytes each node sends in a second, with handshakes", report_.overall,
         plan_.nodes >= many ? mean_bytes : few_bytes);
  const double all = plan_.nodes >= many ? all_seconds : few_seconds;
  expect("seconds until 99 % of the older nodes know a node", report_.known_by_most.most,
         most_seconds);
  expect("seconds until all older nodes know a node", report_.known_by_all.most, all);
  expect("seconds until a node knows 99 % of the older ones", report_.knows_most.most,
         most_seconds);
  expect("seconds until a node knows all older ones", report_.knows_all.most, all);
  expect("seconds until 99 % see a dead node not alive", report_.gone_for_most.most, most_seconds);
  expect("seconds until all see a dead node not alive", report_.gone_for_all.most, all);
  expect("arrivals and deaths that some never saw", static_cast<double>(report_.unsettled), 0);
  expect("living not seen", report_.missing, missing_share);
  expect("dead seen alive", report_.ghosts, ghost_share);
  expect("living nodes declared dead", static_cast<double>(report_.wrong_deaths), 0);
  expect("seconds until all agree", report_.agreed, in_seconds(agreed_within));
}

members_report members_trial::run() {
  const std::clock_t begun = std::clock();
  report_.nodes = plan_.nodes;
  crowd_.start_settled();
  crowd_.pass(settling);
  crowd_.watch_with(
      {[this](std::size_t i) { came(i); }, [this](std::size_t i) { went(i); },
       [this](std::size_t i, std::size_t j, member_health health) { sees(i, j, health); }});
  for (std::size_t i = 0; i < crowd_.size(); ++i) {
    (void)crowd_.traffic(i, true);
  }
  crowd_.count_in(&phase_);
  crowd_.churn(true);
  for (std::int64_t s = 0; s < plan_.churn.count(); ++s) {
    phase_.node_seconds += static_cast<double>(crowd_.running_now());
    crowd_.pass(1s);
    if (s % 2 == 1) {
      sample();
    }
  }
  report_.seconds = in_seconds(plan_.churn);
  measure_traffic(report_.seconds);
  crowd_.churn(false);
  until_agreed();
  conclude();
  judge();
  report_.processor =
      static_cast<double>(std::clock() - begun) / static_cast<double>(CLOCKS_PER_SEC);
  return report_;
}

std::string to_text(const members_report& r) {
  const auto line = [](const std::string& what, const spread& s, int digits) {
    return fmt::format("  {:<50}{:>9.{}f}{:>9.{}f}{:>9.{}f}\n", what, s.mean, digits, s.p99, digits,
                       s.most, digits);
  };
  std::string out = fmt::format(
      "members: {} nodes, {} s in which {} came and {} went without a word: {}, digest {:016x}\n"
      "  {:<50}{:>9}{:>9}{:>9}\n",
      r.nodes, r.seconds, r.came, r.went, r.violations.empty() ? "holds" : "FAILS", r.digest, "",
      "mean", "99 %", "most");
  out += line("bytes a second: sent", r.sent, 0) + line("  received", r.received, 0) +
         line("  handshakes, besides", r.shaken, 0) + line("links at once", r.links, 1) +
         line("seconds until 99 % of the older know a node", r.known_by_most, 1) +
         line("  until all of them do", r.known_by_all, 1) +
         line("seconds until a node knows 99 % of the older ones", r.knows_most, 1) +
         line("  until it knows all of them", r.knows_all, 1) +
         line("seconds until 99 % see a dead node not alive", r.gone_for_most, 1) +
         line("  until all do", r.gone_for_all, 1);
  out += fmt::format("  all nodes, with newcomers and handshakes: {:.0f} bytes and {:.1f} messages "
                     "sent a second\n"
                     "  not seen {:.2g}, seen though dead {:.2g}, living declared dead {}, all "
                     "agree {:.0f} s after the last change; {:.0f} s of a processor\n",
                     r.overall, r.messages, r.missing, r.ghosts, r.wrong_deaths, r.agreed,
                     r.processor);
  for (const std::string& v : r.violations) {
    out += "  " + v + "\n";
  }
  return out;
}

} // namespace ovir::swarm
