#include "tests/swarm/crowd_trial.hpp"

#include "actors/path/path_candidates.hpp"
#include "actors/path/planner.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

// What a run of a crowd is made of, and what is expected of it (docs/SIMULATION.md).

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using namespace ovir::actors;

constexpr std::size_t observers = 24;
constexpr std::uint32_t model_layers = 8;
constexpr std::chrono::seconds start_within{10}; // all nodes

double processor_now() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

double seconds_of(nanoseconds span) { return std::chrono::duration<double>(span).count(); }

// Bounds of a run, in virtual time and counts.
constexpr double agreed_after_start = 60;
constexpr double agreed_after_churn = 40; // and as below
constexpr double agreed_after_healing = 60;
constexpr double wrong_in_calm = 0;
constexpr double missing_in_churn = 0.02;
constexpr double ghosts_in_churn = 0.02;
constexpr double found_dead = 25;    // seconds until nobody plans with a node
constexpr double calm_messages = 40; // per node and second, as below
constexpr double calm_bytes = 6'000;
constexpr double churn_messages = 80;
constexpr double churn_bytes = 60'000;
constexpr double healing_bytes = 100'000;
// For each node there is: all hear of it.
constexpr double churn_agreed_each = 0.025;
constexpr double calm_bytes_each = 6;
constexpr double healing_bytes_each = 200;

constexpr std::size_t examples_max = 400; // bytes

std::string_view word_for(std::optional<member_health> seen) {
  if (!seen) {
    return "nothing";
  }
  switch (*seen) {
  case member_health::alive: return "alive";
  case member_health::suspect: return "suspect";
  case member_health::dead: return "dead";
  case member_health::left: return "gone";
  }
  return "";
}

} // namespace

void crowd_trial::expect(bool right, const std::string& what) {
  if (!right && report_.violations.size() < 20) {
    report_.violations.push_back(fmt::format("{:.1f} s: {}", seconds_of(crowd_.now()), what));
  }
}

void crowd_trial::end() {
  const double now = processor_now();
  if (!report_.phases.empty()) {
    report_.phases.back().processor = now - processor_;
    says_(report_.phases.back());
  }
  processor_ = now;
}

void crowd_trial::begin(const std::string& name) {
  end();
  report_.phases.emplace_back();
  report_.phases.back().name = name;
  crowd_.count_in(&report_.phases.back());
}

void crowd_trial::second() {
  report_.phases.back().node_seconds += static_cast<double>(crowd_.running_now());
  report_.phases.back().seconds += 1;
  crowd_.pass(1s);
}

std::size_t crowd_trial::someone(chance& draws) const {
  std::size_t i = draws.below(crowd_.size());
  while (!crowd_.running(i) || !crowd_.honest(i)) {
    i = draws.below(crowd_.size());
  }
  return i;
}

void crowd_trial::run_phase(const std::string& name, std::chrono::seconds span) {
  begin(name);
  for (std::int64_t s = 0; s < span.count(); ++s) {
    second();
    if (s % 2 == 0 && s * 3 >= span.count()) {
      sample();
    }
    if (s % 5 == 0) {
      plan_paths();
    }
  }
}

/// Whether this node knows exactly those that run, of those that it may reach.
bool crowd_trial::agrees(std::size_t i) const {
  for (std::size_t j = 0; j < crowd_.size(); ++j) {
    const bool alive = crowd_.membership(i).health(crowd_.id(j)) == member_health::alive;
    if (alive != (crowd_.running(j) && !crowd_.divided(i, j))) {
      return false;
    }
  }
  return true;
}

/// Seconds, looking once in each; -1: not within so many.
double crowd_trial::until_agreed(std::chrono::seconds most) {
  for (std::int64_t s = 0; s <= most.count(); ++s) {
    std::size_t agreed = 0;
    for (; agreed < crowd_.size(); ++agreed) {
      const std::size_t i = (disagreed_ + agreed) % crowd_.size();
      if (crowd_.running(i) && crowd_.honest(i) && !agrees(i)) {
        disagreed_ = i;
        break;
      }
    }
    if (agreed == crowd_.size()) {
      return static_cast<double>(s);
    }
    second();
  }
  expect(false, who_disagrees());
  return -1;
}

/// Of the nodes that run: how many others know the least known one, and whom the others lack.
std::string crowd_trial::who_disagrees() const {
  std::size_t running = 0;
  std::size_t lacking = 0; // nodes that do not know all
  std::string examples;
  std::vector<std::size_t> unknown_to(crowd_.size());
  for (std::size_t i = 0; i < crowd_.size(); ++i) {
    if (!crowd_.running(i) || !crowd_.honest(i)) {
      continue;
    }
    ++running;
    std::size_t lacks = 0;
    for (std::size_t j = 0; j < crowd_.size(); ++j) {
      const auto seen = crowd_.membership(i).health(crowd_.id(j));
      const bool alive = seen == member_health::alive;
      const bool there = crowd_.running(j) && !crowd_.divided(i, j);
      unknown_to[j] += there && !alive ? 1 : 0;
      lacks += alive != there ? 1 : 0;
      if (alive != there && examples.size() < examples_max) {
        examples += fmt::format("; n{} ({:.0f} s old) holds n{} ({:.0f} s) for {}", i,
                                seconds_of(crowd_.now() - crowd_.started(i)), j,
                                seconds_of(crowd_.now() - crowd_.started(j)), word_for(seen));
      }
    }
    lacking += lacks > 0 ? 1 : 0;
  }
  const auto lonely = static_cast<std::size_t>(
      std::count_if(unknown_to.begin(), unknown_to.end(), [](std::size_t n) { return n > 0; }));
  return fmt::format("{} of {} nodes are wrong about others; {} are unknown to some, one to {}{}",
                     lacking, running, lonely,
                     *std::max_element(unknown_to.begin(), unknown_to.end()), examples);
}

void crowd_trial::sample() {
  crowd_phase& phase = report_.phases.back();
  chance draws = chance{plan_.seed}.split(static_cast<std::uint64_t>(crowd_.now().count()));
  for (std::size_t n = 0; n < observers; ++n) {
    const std::size_t i = someone(draws);
    for (std::size_t j = 0; j < crowd_.size(); ++j) {
      const auto seen = crowd_.membership(i).health(crowd_.id(j));
      const bool alive = seen == member_health::alive;
      const bool there = crowd_.running(j) && !crowd_.divided(i, j);
      phase.views += there || alive ? 1 : 0;
      phase.missing += there && !alive ? 1 : 0;
      phase.ghosts += alive && !there ? 1 : 0;
    }
  }
}

void crowd_trial::plan_paths() {
  chance draws = chance{plan_.seed}.split(static_cast<std::uint64_t>(crowd_.now().count()) + 1);
  for (std::size_t n = 0; n < 4; ++n) {
    plan_by(someone(draws));
  }
}

/// As the pathfinder does: the holders that a planner can take, and the best path among these.
void crowd_trial::plan_by(std::size_t i) {
  const std::vector<member> known = crowd_.membership(i).members();
  std::vector<const member*> able;
  std::vector<layer_holder> holders;
  for (const member& m : known) {
    if (m.health == member_health::alive && !m.advert.held.empty()) {
      able.push_back(&m);
      holders.push_back({m.node, m.advert.held[0].layers, model_layers,
                         1.0 / static_cast<double>(m.advert.decode_bytes_per_second), 0.05});
    }
  }
  plan_request wanted;
  wanted.shape.layer_weights.assign(model_layers, 1'000);
  wanted.shape.kv_per_position = 16;
  wanted.shape.embedding = wanted.shape.head = 1'000;
  wanted.shape.boundary = wanted.shape.logits = 64;
  wanted.shape.stage_buffers = 1'000;
  wanted.context = 64;
  std::vector<std::size_t> chosen;
  const layer_range whole{0, model_layers};
  for (const std::size_t h : chosen_holders(holders, std::span{&whole, 1}, limits::path_nodes_few,
                                            limits::path_nodes_max)) {
    const node_advert& a = able[h]->advert;
    plan_node one;
    one.name = a.name;
    one.memory = a.memory_free;
    one.holds = a.held[0].layers;
    one.loaded = true;
    one.decode_bytes_per_second = static_cast<double>(a.decode_bytes_per_second);
    one.prefill_bytes_per_second = one.decode_bytes_per_second;
    one.rtt_seconds = 0.05;
    one.bandwidth_bytes_per_second = 125e6;
    wanted.nodes.push_back(std::move(one));
    chosen.push_back(crowd_.index_of(able[h]->node));
  }
  const auto planned = make_plan(wanted);
  expect(planned.has_value(), "no path among the members that a node knows");
  for (const plan_stage& stage : planned ? planned->stages : std::vector<plan_stage>{}) {
    const std::size_t j = chosen[stage.node];
    if (j < crowd_.size() && !crowd_.running(j)) {
      report_.oldest_in_plan =
          std::max(report_.oldest_in_plan, seconds_of(crowd_.now() - crowd_.gone(j)));
    }
  }
  report_.plans += planned ? 1 : 0;
}

void crowd_trial::judge() {
  const auto phase = [this](const std::string& name) -> const crowd_phase& {
    return *std::find_if(report_.phases.begin(), report_.phases.end(),
                         [&](const crowd_phase& p) { return p.name == name; });
  };
  const auto within = [this](const std::string& what, double value, double most) {
    expect(value >= 0 && value <= most,
           fmt::format("{}: {:.4g}, of which at most {:.4g} is expected", what, value, most));
  };
  const auto share = [](std::uint64_t part, const crowd_phase& p) {
    return static_cast<double>(part) / static_cast<double>(std::max<std::uint64_t>(p.views, 1));
  };
  const crowd_phase& calm = phase("calm");
  const crowd_phase& churn = phase("churn");
  const crowd_phase& healing = phase("healing");
  within("seconds until all agree after the start", phase("start").agreed, agreed_after_start);
  const auto nodes = static_cast<double>(plan_.nodes);
  within("seconds until all agree after churn", phase("settling").agreed,
         agreed_after_churn + nodes * churn_agreed_each);
  within("seconds until all agree after healing", healing.agreed, agreed_after_healing);
  within("wrong views in calm", share(calm.missing + calm.ghosts, calm), wrong_in_calm);
  within("living not seen in churn", share(churn.missing, churn), missing_in_churn);
  within("dead seen alive in churn", share(churn.ghosts, churn), ghosts_in_churn);
  within("seconds that a node in a plan was dead", report_.oldest_in_plan, found_dead);
  for (const crowd_phase& p : report_.phases) {
    within("living nodes declared dead in " + p.name, static_cast<double>(p.deaths), 0);
  }
  const auto each = [](double sum, const crowd_phase& p) { return sum / p.node_seconds; };
  within("calm: messages", each(static_cast<double>(calm.messages), calm), calm_messages);
  within("calm: bytes", each(static_cast<double>(calm.bytes), calm),
         plan_.villains > 0 ? churn_bytes
                            : calm_bytes + nodes * calm_bytes_each); // they never rest
  within("churn: messages", each(static_cast<double>(churn.messages), churn), churn_messages);
  within("churn: bytes", each(static_cast<double>(churn.bytes), churn), churn_bytes);
  within("healing: bytes", each(static_cast<double>(healing.bytes), healing),
         healing_bytes + nodes * healing_bytes_each);
  expect(report_.plans > 0, "nobody planned");
}

crowd_report crowd_trial::run() {
  begin("start");
  crowd_.start_all(start_within);
  crowd_.pass(start_within);
  report_.phases.back().seconds = seconds_of(start_within);
  report_.phases.back().node_seconds =
      seconds_of(start_within) / 2 * static_cast<double>(plan_.nodes);
  report_.phases.back().agreed = until_agreed(120s);
  run_phase("calm", plan_.calm);
  crowd_.churn(true);
  run_phase("churn", plan_.churn);
  crowd_.churn(false);
  begin("settling");
  report_.phases.back().agreed = until_agreed(120s);
  crowd_.divide(true);
  run_phase("partition", plan_.partition);
  crowd_.divide(false);
  begin("healing");
  report_.phases.back().agreed = until_agreed(180s);
  end();
  judge();
  report_.digest = crowd_.digest();
  report_.violations.insert(report_.violations.end(), crowd_.violations().begin(),
                            crowd_.violations().end());
  return report_;
}

std::string phase_head() {
  return fmt::format("  {:<10}{:>8}{:>9}{:>10}{:>9}{:>10}{:>10}{:>9}{:>9}{:>8}{:>8}\n", "phase",
                     "s", "agreed s", "messages", "bytes", "links", "missing", "ghosts", "suspects",
                     "deaths", "cpu s");
}

std::string to_text(const crowd_phase& p) {
  const double views = static_cast<double>(std::max<std::uint64_t>(p.views, 1));
  return fmt::format("  {:<10}{:>8.0f}{:>9.0f}{:>10.1f}{:>9.0f}{:>10.3f}{:>10.2g}{:>9.2g}{:>9}{:>8}"
                     "{:>8.1f}\n",
                     p.name, p.seconds, p.agreed, static_cast<double>(p.messages) / p.node_seconds,
                     static_cast<double>(p.bytes) / p.node_seconds,
                     static_cast<double>(p.links) / p.node_seconds,
                     static_cast<double>(p.missing) / views, static_cast<double>(p.ghosts) / views,
                     p.suspicions, p.deaths, p.processor);
}

std::string to_text(const crowd_plan& plan, const crowd_report& report) {
  std::string out =
      fmt::format("crowd of {}, seed {}: {}, {} plans, the longest dead on a path "
                  "{:.1f} s, digest {:016x}\n",
                  plan.nodes, plan.seed, report.violations.empty() ? "holds" : "FAILS",
                  report.plans, report.oldest_in_plan, report.digest);
  for (const std::string& v : report.violations) {
    out += "  " + v + "\n";
  }
  return out;
}

} // namespace ovir::swarm
