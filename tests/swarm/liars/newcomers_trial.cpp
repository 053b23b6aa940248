#include "tests/swarm/liars/newcomers_trial.hpp"

#include "compute/forward/segment.hpp"
#include "messages/hex.hpp"
#include "messages/limits/strangers.hpp"
#include "tests/swarm/economy/work.hpp"
#include "tests/swarm/liars/lying.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <deque>
#include <set>
#include <span>
#include <utility>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t trial_nodes = 8; ///< with leave
constexpr std::size_t honest_strangers = 2;
constexpr std::size_t liars_first = trial_nodes + honest_strangers;
constexpr std::size_t liar_networks = 50;
constexpr std::size_t ghosts_invented = 1'000;
constexpr std::uint32_t twice_from = 64; ///< tokens, prompt and answer
/// Nodes of liars at once: as many as one node links.
constexpr std::size_t liars_at_once = limits::strangers_linked_max;

constexpr nanoseconds strangers_come = 2s;
constexpr nanoseconds liars_come = 1s;
constexpr nanoseconds liar_lives = 3s;
constexpr nanoseconds liar_lives_more = 1s; ///< at most
/// Until then keys that compute nothing say that they hold the model; later only those that lie.
constexpr nanoseconds silent_until = 17s;
constexpr nanoseconds first_question = 5s;
constexpr nanoseconds last_question = 32s;
/// In which convictions become known, and nodes tell them.
constexpr nanoseconds convictions_known = 10s;

// What hostile keys may cost requests that one path computes ...
constexpr nanoseconds median_most = 3s;
constexpr nanoseconds longest_most = 15s;
// ... and those that two do (docs/SIMULATION.md).
constexpr std::int64_t proven_median_times = 2; ///< of what it is without them
constexpr nanoseconds proven_longest_most = 2s;

std::string ghost_address(std::size_t n) {
  return fmt::format("10.{}.{}.1:7300", 100 + n / 250, n % 250);
}

secret_key key_of_ghost(chance draws) {
  std::array<std::byte, secret_key::seed_size> seed{};
  draws.fill(seed);
  return secret_key::from_seed(seed);
}

wanted_proof proof_of(const ask& a) {
  return a.reveal_after                                               ? wanted_proof::after
         : a.wanted.prompt.size() + a.wanted.max_tokens >= twice_from ? wanted_proof::twice
                                                                      : wanted_proof::none;
}

plan swarm_plan(const newcomers_plan& from, std::size_t liars) {
  plan p;
  p.seed = from.seed;
  p.how.nodes = trial_nodes;
  p.how.faults = 0;
  p.how.requests = 0;
  p.how.free = from.free;
  p.how.length = last_question;
  p.how.open = newcomer_terms{honest_strangers, liars, twice_from};
  chance draws = chance{from.seed}.split(0x57a);
  for (std::size_t i = 0; i < from.requests; ++i) {
    ask a;
    a.at = draws.between(first_question, last_question);
    a.client = i;
    a.gateway = draws.below(2);
    a.wanted = draw_wanted(draws);
    a.stream = !draws.one_in(5);
    a.reveal_after = draws.one_in(3);
    p.asks.push_back(std::move(a));
  }
  return p;
}

} // namespace

/// All keys of the attacker.
class newcomers_trial::attack {
public:
  attack(const newcomers_plan& plan, swarm& on, const tiny_model& model)
      : plan_(plan), on_(on), draws_(chance{plan.seed}.split(0xa77ac)) {
    auto terms = std::make_shared<flood_terms>();
    for (std::size_t i = 0; i < trial_nodes; ++i) {
      terms->victims.push_back(on.hosts()[i]->how().options.listen);
    }
    terms->model = model.id();
    terms->layers = tiny_model::layers;
    terms->boast_until = silent_until;
    auto ghosts = std::make_shared<std::vector<actors::signed_update>>();
    for (std::size_t i = 0; i < ghosts_invented; ++i) {
      actors::node_advert a;
      a.name = "ghost";
      a.address = ghost_address(i);
      a.roles.add(role::worker);
      ghosts->emplace_back(actors::sign_advert(key_of_ghost(draws_.split(i)), 1, std::move(a)));
    }
    terms->ghosts = std::move(ghosts);
    for (std::size_t who = liars_first; who < on.hosts().size(); ++who) {
      const host::setting& how = on.hosts()[who]->how();
      keys_.push_back(secret_key::from_seed(how.key_seed));
      liars_.insert(who);
    }
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const host::setting& how = on.hosts()[liars_first + i]->how();
      floods_.push_back(std::make_unique<newcomer_flood>(on.in(), on.at(), how.number, keys_[i],
                                                         how.options.listen, terms));
    }
  }
  ~attack() { end_work(); }
  attack(const attack&) = delete;
  attack& operator=(const attack&) = delete;

  void begin() {
    begin_work({{}, {}, {}, liars_}); // who is accused admits nothing
    compute_with([this](compute::segment& s, std::span<compute::session_step> steps,
                        const std::function<void()>& real) { pass(s, steps, real); });
    for (const auto& one : floods_) {
      on_.in().at(liars_come, [f = one.get()] { f->begin(); });
    }
    for (std::size_t i = 0; i < std::min(liars_at_once, floods_.size()); ++i) {
      on_.in().at(draws_.between(liars_come, liars_come + liar_lives), [this] { next(); });
    }
  }
  void end() {
    over_ = true;
    for (std::size_t i = 0; i < floods_.size(); ++i) {
      floods_[i]->end();
      on_.hosts()[liars_first + i]->crash(crash_kind::process);
    }
  }
  void report(newcomers_run& to) const {
    to.nodes_begun = next_;
    to.passes_lied = lied_;
    for (const auto& one : floods_) {
      to.floods_let_in += one->let_in();
      to.records += one->records();
      to.stages_kept += one->stages();
    }
  }

private:
  /// The next key is a node for a while.
  void next() {
    if (over_ || next_ == floods_.size()) {
      return;
    }
    const std::size_t mine = next_++;
    floods_[mine]->end();
    on_.start(liars_first + mine);
    on_.in().in(liar_lives + draws_.between(nanoseconds{0}, liar_lives_more), [this, mine] {
      if (!over_) {
        on_.hosts()[liars_first + mine]->crash(crash_kind::process);
        floods_[mine]->begin();
        next();
      }
    });
  }

  /// A liar computes from other tokens or activations than it was sent, always the same ones.
  void pass(compute::segment& s, std::span<compute::session_step> steps,
            const std::function<void()>& real) {
    if (!liars_.contains(host::running().value_or(0))) {
      return real();
    }
    std::deque<std::vector<float>> rows; // what steps point into until the pass is over
    std::deque<std::vector<token_id>> tokens;
    for (compute::session_step& step : steps) {
      if (s.is_first()) {
        auto& changed = tokens.emplace_back(step.in.tokens.begin(), step.in.tokens.end());
        for (token_id& t : changed) {
          t = t == 0 ? 1 : t - 1;
        }
        step.in.tokens = changed;
      } else {
        auto& changed = rows.emplace_back(step.in.boundary.begin(), step.in.boundary.end());
        for (std::size_t r = 0; r < step.in.count; ++r) {
          changed[r * s.config().dim] += 0.5F;
        }
        step.in.boundary = changed;
      }
    }
    ++lied_;
    real();
  }

  const newcomers_plan& plan_;
  swarm& on_;
  chance draws_;
  std::deque<secret_key> keys_;
  std::set<std::size_t> liars_;
  std::vector<std::unique_ptr<newcomer_flood>> floods_;
  std::size_t next_{0};
  std::uint64_t lied_{0};
  bool over_{false};
};

newcomers_trial::newcomers_trial(const newcomers_plan& plan, tiny_model& model,
                                 std::function<void(nanoseconds, const std::string&)> says)
    : plan_(plan), model_(model), says_(std::move(says)) {}

newcomers_run newcomers_trial::run_one(std::size_t liars) {
  newcomers_run run;
  swarm all{swarm_plan(plan_, liars), model_, {false, plant::none, says_}};
  all.at().networks_are([](std::size_t machine) {
    return machine < liars_first ? machine : liars_first + (machine - liars_first) % liar_networks;
  });
  attack foes{plan_, all, model_};
  all.begin();
  for (std::size_t i = 0; i < honest_strangers; ++i) {
    all.in().at(strangers_come, [&all, i] { all.start(trial_nodes + i); });
  }
  foes.begin();
  const auto answered = [&all] {
    return std::all_of(all.clients().begin(), all.clients().end(),
                       [](const auto& c) { return c->over(); });
  };
  static_cast<void>(all.go([] { return false; }, last_question));
  static_cast<void>(all.go(answered, last_question + longest_most));
  std::set<node_id> convicted;
  all.shell().call(all.hosts()[0]->how().options.listen, "audits", operator_shell::json::object(),
                   [&convicted](const operator_shell::json& reply) {
                     if (reply.is_object() && reply.value("ok", false)) {
                       for (const auto& one : reply["data"]["convictions"]) {
                         convicted.insert(node_id_from_hex(one["node"].get<std::string>()).value());
                       }
                     }
                   });
  static_cast<void>(all.go([] { return false; }, all.in().now() + convictions_known));
  for (const auto& h : all.hosts()) {
    const bool out = convicted.contains(h->id());
    run.convicted += out && h->how().number >= liars_first ? 1 : 0;
    run.honest_convicted += out && h->how().number < liars_first ? 1 : 0;
  }
  foes.end();
  count(all, run);
  foes.report(run);
  run.rest.virtual_time = all.in().now();
  run.rest.violations = all.violations();
  run.rest.trace = all.in().trace();
  return run;
}

void newcomers_trial::count(const swarm& all, newcomers_run& into) {
  for (const auto& c : all.clients()) {
    newcomers_row& row = into.rows.at(static_cast<std::size_t>(proof_of(c->asked())));
    const std::string right = model_.text(model_.answer(c->asked().wanted));
    ++row.asked;
    const bool whole = c->how() == client::state::answered;
    row.open += c->over() ? 0 : 1;
    row.refused += c->over() && !whole ? 1 : 0;
    row.wrong += (whole ? c->text() == right : right.starts_with(c->text())) ? 0 : 1;
    if (whole) {
      row.times.push_back(c->ended() - c->asked().at);
    }
  }
  for (newcomers_row& row : into.rows) {
    std::sort(row.times.begin(), row.times.end());
  }
}

nanoseconds newcomers_row::share(std::size_t percent) const {
  return times.empty() ? nanoseconds{0}
                       : times[std::min(times.size() - 1, times.size() * percent / 100)];
}

void newcomers_trial::judge(newcomers_report& report) const {
  const auto expect = [&report](bool right, std::string what) {
    if (!right) {
      report.violations.push_back(std::move(what));
    }
  };
  for (const newcomers_run* const run : {&report.calm, &report.attacked}) {
    for (const std::string& one : run->rest.violations) {
      report.violations.push_back(one);
    }
    expect(run->honest_convicted == 0,
           fmt::format("{} honest nodes were convicted", run->honest_convicted));
    for (std::size_t i = 0; i < proofs_wanted; ++i) {
      const newcomers_row& row = run->rows.at(i);
      const bool told_once = run == &report.attacked && i == 0;
      expect(row.wrong == 0 || told_once,
             fmt::format("{} of {} requests were told wrong tokens", row.wrong, row.asked));
      expect(row.open == 0 && row.refused == 0,
             fmt::format("{} of {} requests were not answered, {} were refused", row.open,
                         row.asked, row.refused));
      const nanoseconds usual = report.calm.rows.at(i).share(50);
      const nanoseconds longest = i == 0 ? longest_most : proven_longest_most;
      const nanoseconds median = i == 0 ? median_most : proven_median_times * usual;
      expect(row.share(100) <= longest && row.share(50) <= median,
             fmt::format("half of {} requests took up to {} ms, all up to {} ms", row.asked,
                         row.share(50) / 1ms, row.share(100) / 1ms));
    }
  }
  expect(report.attacked.rows[0].wrong > 0 && report.attacked.passes_lied > 0,
         "no liar was believed where one path suffices: the run shows nothing");
}

newcomers_report newcomers_trial::run() {
  newcomers_report report;
  report.calm = run_one(0);
  report.attacked = run_one(plan_.liars);
  judge(report);
  return report;
}

std::string to_text(const newcomers_plan& plan, const newcomers_report& report) {
  constexpr std::array names{"one path", "twice", "after"};
  const auto ms = [](nanoseconds t) {
    return std::chrono::duration<double, std::milli>(t).count();
  };
  std::string out =
      fmt::format("newcomers {} seed {} {}: {}\n", plan.liars, plan.seed,
                  plan.free ? "free" : "charged", report.violations.empty() ? "holds" : "FAILS");
  for (const newcomers_run* const run : {&report.calm, &report.attacked}) {
    out += run == &report.calm ? "  without liars\n" : "  with liars\n";
    for (std::size_t i = 0; i < proofs_wanted; ++i) {
      const newcomers_row& row = run->rows.at(i);
      out += fmt::format(
          "    {:8} {:3} asked, {} wrong, {} open, {} refused; half within {:.0f} ms, 95 % {:.0f} "
          "ms, all {:.0f} ms\n",
          names.at(i), row.asked, row.wrong, row.open, row.refused, ms(row.share(50)),
          ms(row.share(95)), ms(row.share(100)));
    }
    out +=
        fmt::format("    {} liars' nodes, {} passes lied, {} liars convicted, {} honest; floods "
                    "linked {} times, told {} records, kept {} stages; {:.0f} s, digest {:016x}\n",
                    run->nodes_begun, run->passes_lied, run->convicted, run->honest_convicted,
                    run->floods_let_in, run->records, run->stages_kept,
                    std::chrono::duration<double>(run->rest.virtual_time).count(), run->rest.trace);
  }
  for (const std::string& one : report.violations) {
    out += "  " + one + "\n";
  }
  return out;
}

} // namespace ovir::swarm
