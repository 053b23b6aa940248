#include "messages/mutant.hpp"
#include "tests/swarm/calm.hpp"
#include "tests/swarm/crowd_trial.hpp"
#include "tests/swarm/economy/market_trial.hpp"
#include "tests/swarm/liars/escape_tally.hpp"
#include "tests/swarm/liars/escapes.hpp"
#include "tests/swarm/liars/newcomers_trial.hpp"
#include "tests/swarm/load_trial.hpp"
#include "tests/swarm/members_trial.hpp"
#include "tests/swarm/shrink.hpp"
#include "tests/swarm/swarm.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

// Runs whole swarms, each in this process and under one seed (docs/SIMULATION.md).

namespace {

using namespace ovir::swarm;

constexpr std::size_t shrink_tries = 400;

struct market_settings {
  std::vector<market_play> plays; ///< none: no market
  market_plan plan;
  bool json{false};
  bool hosts{false};
};

struct settings {
  std::uint64_t seed{1};
  std::uint64_t count{1};
  double minutes{0}; ///< 0: `count` runs
  std::string arithmetic{"stand-in"};
  std::string history;
  std::string plan_file;
  std::string shrink_to;
  std::string save_to;
  std::string planted{"none"};
  std::string mutant;
  std::vector<std::string> only;
  bool verbose{false};
  bool until_failure{false};
  bool quiet{false};
  bool no_ledger{false};
  bool no_audits{false};
  std::uint64_t calm_hours{0}; ///< 0: storms
  bool escapes{false};
  std::string tally; ///< with `escapes`
  intensity how;
  std::size_t crowd_nodes{0}; ///< 0: whole swarms
  crowd_plan crowd;
  std::size_t members{0}; ///< 0: no churn of thousands
  std::int64_t churn_seconds{60};
  double load_percent{0}; ///< 0: no load
  load_plan load;
  market_settings markets;
  newcomers_plan newcomers{1, 0}; ///< 0 liars: no trial of newcomers
};

const std::map<std::string, villainy> villainies{{"none", villainy::none},
                                                 {"accuses", villainy::accuses},
                                                 {"replays", villainy::replays},
                                                 {"invents", villainy::invents},
                                                 {"miscounts", villainy::miscounts}};

const std::map<std::string, plant> plants{{"none", plant::none},
                                          {"token-twice", plant::token_twice},
                                          {"deaf-cancel", plant::deaf_cancel},
                                          {"lying-sync", plant::lying_sync}};

double processor_seconds() {
  return static_cast<double>(std::clock()) / static_cast<double>(CLOCKS_PER_SEC);
}

std::optional<plan> read_plan(const std::string& path) {
  std::ifstream in{path};
  std::stringstream text;
  text << in.rdbuf();
  auto read = plan_from(text.str());
  if (!in || !read) {
    fmt::print(stderr, "{}: {}\n", path, in ? read.error().message : "cannot be read");
    return std::nullopt;
  }
  return std::move(*read);
}

void show(const plan& p, const settings& s, const outcome& o) {
  fmt::print("seed {} {} {}: {} events, {} turns, {} messages, {:.1f} s, {} answered, {} "
             "cancelled, {} attempts, {} lives, {} entries, digest {:016x}\n",
             p.seed, s.arithmetic, o.violations.empty() ? "holds" : "FAILS", o.events, o.turns,
             o.messages, static_cast<double>(o.virtual_time.count()) / 1e9, o.answered, o.cancelled,
             o.attempts, o.lives, o.entries, o.trace);
  for (const std::string& line : o.found) {
    fmt::print("  {}\n", line);
  }
  for (const std::string& v : o.violations) {
    fmt::print("  {}\n", v);
  }
}

bool read_tally(const std::string& path, escape_tally& into) {
  std::ifstream in{path};
  std::stringstream text;
  text << in.rdbuf();
  const bool right = into.read(text.str());
  if (!right) {
    fmt::print(stderr, "{}: this is no tally\n", path);
  }
  return right;
}

/// Whether lies escaped as often as the rates predict.
bool show(const escape_tally& escapes) {
  fmt::print("{}", escapes.text());
  const auto wrong = escapes.wrong();
  for (const std::string& line : wrong) {
    fmt::print("  NOT AS PREDICTED: {}\n", line);
  }
  return wrong.empty();
}

outcome run_one(const plan& p, tiny_model& model, const settings& s) {
  swarm::options how;
  how.keep_history = !s.history.empty();
  how.planted = plants.at(s.planted);
  if (s.verbose) {
    how.says = [](nanoseconds when, const std::string& line) {
      fmt::print("{:10.6f} {}\n", static_cast<double>(when.count()) / 1e9, line);
    };
  }
  swarm one{p, model, how};
  const outcome o = one.run();
  if (!s.history.empty()) {
    std::ofstream out{s.history};
    for (const std::string& line : one.told().lines()) {
      out << line << "\n";
    }
  }
  return o;
}

int shrink(const plan& failing, tiny_model& model, const settings& s) {
  settings quiet = s;
  quiet.verbose = false;
  quiet.history.clear();
  const plan less = shrunk(
      failing,
      [&](const plan& p) {
        const bool fails = !run_one(p, model, quiet).violations.empty();
        if (fails) {
          fmt::print(stderr, "fails with {} faults and {} requests\n", p.faults.size(),
                     p.asks.size());
        }
        return fails;
      },
      shrink_tries);
  std::ofstream{s.shrink_to} << to_text(less);
  fmt::print("{}: {} faults and {} requests still fail\n", s.shrink_to, less.faults.size(),
             less.asks.size());
  return 1;
}

int run_crowds(const settings& s) {
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < s.count; ++i) {
    crowd_plan p = s.crowd;
    p.seed = s.seed + i;
    p.nodes = s.crowd_nodes;
    const double processor = processor_seconds();
    // Messages, bytes and links are of one node in one second.
    fmt::print("{}", phase_head());
    const crowd_report report =
        crowd_trial{p, [](const crowd_phase& phase) { fmt::print("{}", to_text(phase)); }}.run();
    fmt::print("{}  {:.0f} processor seconds\n", to_text(p, report),
               processor_seconds() - processor);
    failed += report.violations.empty() ? 0 : 1;
  }
  return failed == 0 ? 0 : 1;
}

int run_members(const settings& s) {
  crowd_plan p = s.crowd;
  p.seed = s.seed;
  p.nodes = s.members;
  p.churn = std::chrono::seconds{s.churn_seconds};
  const members_report report = members_trial{p}.run();
  fmt::print("{}", to_text(report));
  return report.violations.empty() ? 0 : 1;
}

arithmetic arithmetic_of(const settings& s) {
  return s.arithmetic == "kernels" ? arithmetic::kernels : arithmetic::stand_in;
}

int run_loads(const settings& s) {
  tiny_model model{arithmetic_of(s), width::narrow, true};
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < s.count; ++i) {
    load_plan p = s.load;
    p.seed = s.seed + i;
    p.percent = s.load_percent;
    p.ledger = s.how.ledger;
    p.audits = s.how.audits;
    const double processor = processor_seconds();
    std::function<void(const std::string&)> says;
    if (s.verbose) {
      says = [](const std::string& line) { fmt::print("{}\n", line); };
    }
    const load_report report = load_trial{p, model, says}.run();
    fmt::print("{}  {:.0f} processor seconds\n", to_text(p, report),
               processor_seconds() - processor);
    failed += report.violations.empty() ? 0 : 1;
  }
  return failed == 0 ? 0 : 1;
}

/// Each play beside honesty in the same seat, over all seeds.
int run_markets(const settings& s) {
  tiny_model model{arithmetic_of(s), width::narrow};
  const double processor = processor_seconds();
  bool right = true;
  bool honest_best = true;
  const auto report_of = [&](market_play play, std::uint64_t seed) {
    market_plan p = s.markets.plan;
    p.seed = seed;
    p.plays = play;
    std::function<void(nanoseconds, const std::string&)> says;
    if (s.verbose) {
      says = [](nanoseconds when, const std::string& line) {
        fmt::print("{:10.6f} {}\n", static_cast<double>(when.count()) / 1e9, line);
      };
    }
    market_report report = market_trial{p, model, says}.run();
    right = right && report.violations.empty();
    if (s.markets.hosts) {
      fmt::print("{} seed {}\n{}", to_string(play), seed, to_text(report));
    }
    for (const std::string& line : report.violations) {
      fmt::print(stderr, "{} seed {}: {}\n", to_string(play), seed, line);
    }
    for (const std::string& line : s.markets.hosts ? report.failures : std::vector<std::string>{}) {
      fmt::print("  {}\n", line);
    }
    return report;
  };
  std::vector<market_report> honest;
  for (std::uint64_t i = 0; i < s.count; ++i) {
    honest.push_back(report_of(market_play::honest, s.seed + i));
  }
  if (!s.markets.json) {
    fmt::print("{}", market_head());
  }
  for (const market_play play : s.markets.plays) {
    market_row row;
    row.plays = play;
    row.runs = s.count;
    for (std::uint64_t i = 0; i < s.count; ++i) {
      const market_report report =
          play == market_play::honest ? honest[i] : report_of(play, s.seed + i);
      row.account += report.operators(play);
      row.auditors += report.sum(market_verifiers(play));
      row.honest += honest[i].operators(play);
      row.failed += report.failed;
    }
    honest_best = honest_best && !row.beats_honesty();
    fmt::print("{}", s.markets.json ? to_json(row, s.markets.plan.seldom) : to_text(row));
  }
  if (!s.markets.json) {
    fmt::print("{:.0f} processor seconds\n", processor_seconds() - processor);
  }
  return !right ? 2 : honest_best ? 0 : 1;
}

int run_all(const settings& s) {
  tiny_model model{arithmetic_of(s), s.how.calm ? width::wide : width::narrow};
  using clock = std::chrono::steady_clock;
  const auto begin = clock::now();
  const double processor = processor_seconds();
  const auto took = [&] { return std::chrono::duration<double>(clock::now() - begin).count(); };
  std::uint64_t failed = 0;
  std::uint64_t done = 0;
  escape_tally escapes;
  if (!read_tally(s.tally, escapes)) {
    return 2;
  }
  while (s.minutes > 0 ? took() < s.minutes * 60 : done < s.count) {
    std::optional<plan> p = s.plan_file.empty() ? std::optional{draw_plan(s.seed + done, s.how)}
                                                : read_plan(s.plan_file);
    if (!p) {
      return 2;
    }
    ++done;
    if (!s.save_to.empty()) {
      std::ofstream{s.save_to} << to_text(*p);
    }
    const outcome o = run_one(*p, model, s);
    failed += o.violations.empty() ? 0 : 1;
    escapes.add(o.liar);
    if (!s.quiet || !o.violations.empty()) {
      show(*p, s, o);
    }
    if (!o.violations.empty() && s.until_failure) {
      break;
    }
    if (!o.violations.empty() && !s.shrink_to.empty()) {
      return shrink(*p, model, s);
    }
  }
  if (!s.tally.empty()) {
    std::ofstream{s.tally} << escapes.numbers();
  }
  failed += s.how.escapes && !show(escapes) ? 1 : 0;
  fmt::print(
      "seeds {} to {}, {}: {} runs, {} failed, {:.0f} processor seconds, {:.0f} runs an hour "
      "of one processor\n",
      s.seed, s.seed + done - 1, s.arithmetic, done, failed, processor_seconds() - processor,
      static_cast<double>(done) / (processor_seconds() - processor) * 3'600);
  return failed == 0 ? 0 : 1;
}

int run_newcomers(const settings& s) {
  tiny_model model{arithmetic_of(s), width::narrow};
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < s.count; ++i) {
    newcomers_plan p = s.newcomers;
    p.seed = s.seed + i;
    p.free = s.how.free;
    const double processor = processor_seconds();
    std::function<void(nanoseconds, const std::string&)> says;
    if (s.verbose) {
      says = [](nanoseconds when, const std::string& line) {
        fmt::print("{:10.6f} {}\n", static_cast<double>(when.count()) / 1e9, line);
      };
    }
    const newcomers_report report = newcomers_trial{p, model, says}.run();
    fmt::print("{}  {:.0f} processor seconds\n", to_text(p, report),
               processor_seconds() - processor);
    failed += report.violations.empty() ? 0 : 1;
  }
  return failed == 0 ? 0 : 1;
}

int run(const settings& s) {
  if (s.newcomers.liars > 0) {
    return run_newcomers(s);
  }
  if (s.load_percent > 0) {
    return run_loads(s);
  }
  if (!s.markets.plays.empty()) {
    return run_markets(s);
  }
  if (s.members > 0) {
    return run_members(s);
  }
  return s.crowd_nodes > 0 ? run_crowds(s) : run_all(s);
}

void add_other_kinds(CLI::App& app, settings& s) {
  app.add_option("--crowd", s.crowd_nodes,
                 "Instead: so many nodes that are nothing but membership and planning")
      ->check(CLI::Range(100, 4'000));
  app.add_option(
         "--members", s.members,
         "Instead: so many nodes that are nothing but membership and know each other; 5 % a "
         "minute go without a word, and as many come by one address")
      ->check(CLI::Range(100, 6'000));
  app.add_option("--churn", s.churn_seconds, "With --members, for so many seconds")
      ->check(CLI::Range(10, 3'600));
  app.add_option("--lists-above", s.crowd.times.lists_above,
                 "With --members or --crowd, news goes by lists above so many members");
  app.add_flag("--escapes", s.escapes,
               "Instead: a liar with standing lies a few times, at the shipped audit rates");
  app.add_option("--tally", s.tally, "Of these, adds to the counts in this file");
  app.add_option("--colluders", s.how.colluders, "Of these, verifiers in league with it")
      ->check(CLI::Range(0, 2));
  app.add_option("--lost-disks", s.how.lost_disks, "Of these, nodes that lose their whole disk")
      ->check(CLI::Range(0, 10));
  app.add_option("--villains", s.crowd.villains, "Of these, with --deed")->check(CLI::Range(0, 10));
  app.add_option("--deed", s.crowd.deed, "What villains do: accuses, replays, invents, miscounts")
      ->transform(CLI::CheckedTransformer(villainies));
  app.add_option("--load", s.load_percent,
                 "Instead: requests with deadlines that keep the busiest node busy for so many "
                 "percent of the time")
      ->check(CLI::Range(1, 100));
  app.add_option("--accepted", s.load.accepted, "Of these, with --load, until so many are over");
}

void add_newcomers(CLI::App& app, settings& s) {
  app.add_option("--lying-newcomers", s.newcomers.liars,
                 "Instead: an open cluster, and so many keys without leave that come to it: all "
                 "flood members' records and compute something else")
      ->check(CLI::Range(1, 2'000));
  app.add_option("--asks", s.newcomers.requests, "Of these, requests")
      ->check(CLI::Range(1, 10'000));
}

/// Honesty is compared with, whether or not it is named.
void add_markets(CLI::App& app, settings& s) {
  std::map<std::string, market_play> plays;
  for (std::size_t i = 0; i < market_plays; ++i) {
    const auto play = static_cast<market_play>(i);
    plays.emplace(to_string(play), play);
  }
  app.add_option("--economy", s.markets.plays,
                 "Instead: a market in which the operator of one seat plays like this, beside one "
                 "in which it is honest")
      ->transform(CLI::CheckedTransformer(plays))
      ->delimiter(',');
  app.add_flag("--seldom", s.markets.plan.seldom,
               "Of these, under a policy that audits far too seldom");
  app.add_flag("--keeper-alone", s.markets.plan.keeper_alone,
               "Of these, the keeper has no other role");
  app.add_option("--market", s.markets.plan.requests, "Of these, requests")
      ->check(CLI::Range(1, 100'000));
  app.add_flag("--json", s.markets.json, "Of these, a line of JSON for each play");
  app.add_flag("--each-host", s.markets.hosts,
               "Of these, what each host got and gave in each market");
}

/// Hours instead of storms, but for what was asked for.
void be_calm(const CLI::App& app, settings& s) {
  const intensity asked = std::exchange(s.how, calm_intensity(s.calm_hours));
  s.how.nodes = asked.nodes;
  s.how.requests = app.count("--requests") > 0 ? asked.requests : s.how.requests;
  s.how.faults = app.count("--faults") > 0 ? asked.faults : s.how.faults;
  s.how.liars = asked.liars;
  s.how.hostile = asked.hostile;
}

/// A liar with standing instead, but for what was asked for.
void let_escape(const CLI::App& app, settings& s) {
  const intensity asked = std::exchange(s.how, escapes_intensity());
  s.how.requests = app.count("--requests") > 0 ? asked.requests : s.how.requests;
  s.how.faults = app.count("--faults") > 0 ? asked.faults : s.how.faults;
  s.how.colluders = asked.colluders;
  s.how.lost_disks = asked.lost_disks;
  s.how.free = asked.free;
}

/// Faults that were named, by their kinds.
ovir::result<void> read_only(settings& s) {
  for (const std::string& name : s.only) {
    OVIR_ASSIGN(const fault_kind kind, fault_kind_from(name));
    s.how.only.push_back(kind);
  }
  return {};
}

} // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 1U << 16U);
  settings s;
  CLI::App app{"Whole swarms in one process, each under one seed"};
  app.add_option("--seed", s.seed, "First seed")->envname("OVIR_SEED");
  app.add_option("--count", s.count, "Runs, with one seed after another");
  app.add_option("--minutes", s.minutes, "Instead: as many runs as begin in so long");
  app.add_option("--arithmetic", s.arithmetic, "kernels or stand-in")
      ->check(CLI::IsMember({"kernels", "stand-in"}));
  app.add_option("--calm", s.calm_hours, "Instead of storms: so many hours of many requests")
      ->check(CLI::Range(1, 240));
  app.add_option("--nodes", s.how.nodes, "Nodes")->check(CLI::Range(3, 2'000));
  app.add_option("--requests", s.how.requests, "Requests of clients");
  app.add_option("--faults", s.how.faults, "Faults");
  app.add_option("--liars", s.how.liars, "Workers that compute something wrong now and then")
      ->check(CLI::Range(0, 1));
  app.add_option("--hostile", s.how.hostile, "A member that repeats and spoils messages")
      ->check(CLI::Range(0, 1));
  app.add_option("--newcomers", s.how.newcomers, "Workers that join by a token meanwhile")
      ->check(CLI::Range(0, 8));
  app.add_option("--strangers", s.how.strangers,
                 "Hostile keys without leave in an open cluster, from 40 networks")
      ->check(CLI::Range(0, 500));
  app.add_flag("--fork", s.how.fork, "The only fault takes the keeper back to an earlier ledger");
  app.add_flag("--takeover", s.how.takeover,
               "The only fault ends a scheduler; its clients wait before they ask again");
  app.add_option("--only", s.only, "Kinds of faults, by their names in plans; none: all");
  app.add_flag("--cancels", s.how.cancels,
               "Streams are cancelled, and the only faults meet their schedulers then");
  app.add_flag("--apart", s.how.apart, "The only fault: two nodes are apart, or one is far away");
  app.add_flag("--placed", s.how.placed,
               "Workers hold what placers order, and have room for a part of the model");
  app.add_flag("--no-ledger", s.no_ledger, "There is no ledger");
  app.add_flag("--free", s.how.free,
               "The ledger charges nothing, as in every fourth run in any case");
  app.add_flag("--no-audits", s.no_audits, "No node signs or audits");
  add_other_kinds(app, s);
  add_markets(app, s);
  add_newcomers(app, s);
  app.add_option("--history", s.history, "File for what clients asked and were told");
  app.add_option("--plan", s.plan_file, "Runs what this file says, as --shrink writes it");
  app.add_option("--save", s.save_to, "Writes the plan of the last run there");
  app.add_option("--shrink", s.shrink_to,
                 "Makes the first failing run as short as it still fails, and writes it there");
  app.add_option("--plant", s.planted, "A violation that only the witness is to find")
      ->check(CLI::IsMember(plants));
#ifdef OVIR_MUTANTS
  app.add_option("--mutant", s.mutant, "A planted error, by its name in the sources");
#endif
  app.add_flag("--until-failure", s.until_failure, "Ends with the first run that fails");
  app.add_flag("-v,--verbose", s.verbose, "Shows what happens");
  app.add_flag("-q,--quiet", s.quiet, "Shows the runs that fail alone");
  CLI11_PARSE(app, argc, argv);
#ifdef OVIR_MUTANTS
  ovir::switch_mutant_on(s.mutant);
#endif
  if (s.calm_hours > 0) {
    be_calm(app, s);
  } else if (s.escapes) {
    let_escape(app, s);
  }
  if (const auto named = read_only(s); !named) {
    fmt::print(stderr, "{}\n", named.error().message);
    return 2;
  }
  s.how.ledger = !s.no_ledger;
  s.how.audits = !s.no_audits;
  s.how.reuse = s.how.reuse && !s.how.takeover && !s.how.fork;
  return run(s);
}
