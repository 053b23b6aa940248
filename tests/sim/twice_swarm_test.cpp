// Redundancy in a byzantine swarm: the actor that drives requests and the core that audits them, as
// nodes run them, over five workers of which two lie at random. What workers compute is a chain of
// digests, so that 2,000 requests take seconds; every order of events follows from a seed.
#include "actors/path/model_catalog.hpp"
#include "actors/path/twin_runs.hpp"
#include "actors/protocol/protocol_actor.hpp"
#include "actors/request/jobs_actor.hpp"
#include "ledger/audit/audit.hpp"
#include "messages/limits/ledger.hpp"
#include "tests/sim/simulated_node.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <set>

namespace ovir::test {
namespace {

using actors::generation_request;

constexpr std::uint32_t workers = 5;
constexpr std::uint32_t liars = 2; ///< the first ones
constexpr std::uint32_t layers = 4;
constexpr std::uint32_t tokens = 6; ///< of an answer, each in a window of its own
constexpr std::uint32_t vocabulary = 1U << 20U;
constexpr std::uint64_t requests = 2'000;
constexpr std::size_t together = 4; ///< requests under way

digest made(std::string_view what, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) {
  return hasher{"ovir/test/twice"}
      .update_text(what)
      .update_u64(a)
      .update_u64(b)
      .update_u64(c)
      .finish();
}

node_id named(std::string_view what, std::uint32_t n) {
  node_id id;
  id.key = made(what, n).bytes;
  return id;
}
node_id worker(std::uint32_t n) { return named("worker", n); }
node_id auditor(std::uint32_t n) { return named("auditor", n); }

/// What comes out of a layer at a token: of what comes in from below, and of the token before.
digest computed(const digest& below, const digest& before, std::uint32_t layer) {
  return hasher{"ovir/test/unit"}.update(below).update(before).update_u32(layer).finish();
}
token_id token_of(const digest& last) {
  std::uint32_t drawn = 0;
  std::memcpy(&drawn, last.bytes.data(), sizeof drawn);
  return drawn % vocabulary;
}
digest embedded(std::uint64_t prompt, std::span<const token_id> drawn) {
  hasher h{"ovir/test/row"};
  h.update_u64(prompt);
  for (const token_id token : drawn) {
    h.update_u32(token);
  }
  return h.finish();
}

using grid = std::vector<std::array<digest, layers>>; ///< outputs, per window

/// A window computed rightly behind `past`.
std::array<digest, layers> next_window(std::uint64_t prompt, std::span<const token_id> drawn,
                                       const grid& past) {
  std::array<digest, layers> window;
  digest below = embedded(prompt, drawn);
  for (std::uint32_t l = 0; l < layers; ++l) {
    below = window[l] = computed(below, past.empty() ? digest{} : past.back()[l], l);
  }
  return window;
}

std::vector<token_id> right_answer(std::uint64_t prompt) {
  std::vector<token_id> drawn;
  grid all;
  while (drawn.size() < tokens) {
    all.push_back(next_window(prompt, drawn, all));
    drawn.push_back(token_of(all.back().back()));
  }
  return drawn;
}

class silent_log final : public actors::log {
public:
  void write(actors::log_level, std::optional<request_id>, std::string_view) override {}
  [[nodiscard]] actors::log_level level() const noexcept override { return {}; }
  void set_level(actors::log_level) noexcept override {}
};

/// One run of a request over a path.
struct run_state {
  generation_request asked;
  caf::actor requester;
  std::vector<std::uint32_t> path;
  std::vector<token_id> drawn;
  grid stated;
  std::set<std::pair<std::uint32_t, std::uint32_t>> lies; ///< window and layer

  [[nodiscard]] std::uint64_t prompt() const { return asked.prompt.front(); }
  [[nodiscard]] std::uint32_t worker_of(std::uint32_t layer) const {
    return path[layer * path.size() / layers];
  }
};

struct swarm_rules {
  std::uint32_t twice_tokens{1};
  bool ejects{true};              ///< who is convicted is asked no more
  bool every_second_after{false}; ///< of the requests, by itself: with reveal after
};

class twice_swarm {
public:
  twice_swarm(std::uint64_t seed, swarm_rules rules)
      : rules_(rules), random_(seed), system_(config_),
        scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())),
        book_(auditor(0), *ledger::hash_chain::make(made("seed", seed), 40'000), records_,
              {200'000, 50'000}) {
    for (std::uint32_t w = 0; w < workers; ++w) { // everybody has a past
      records_.apply({0, worker(w), ledger::work_event::valid, 1'000'000});
    }
    auto known = std::make_shared<actors::catalog_model>();
    known->id = made("model", 0);
    known->weights.config.vocabulary = vocabulary;
    known->weights.config.context = known->context = 64;
    models_.put(known);
    front_ = system_.spawn([this](caf::event_based_actor*) {
      return caf::behavior{
          [this](const actors::submit_request& command) { begin(command); },
          [this](const actors::cancel_request& command) { cancel(command.request); },
      };
    });
    client_ = system_.spawn([this](caf::event_based_actor*) {
      return caf::behavior{
          [this](const actors::job_token& piece) { told(piece); },
          [this](const actors::job_over& over) { ended(over); },
          [](bool) {},
      };
    });
    actors::jobs_environment around;
    around.models = &models_;
    around.journal = &journal_;
    around.env = &env_;
    around.scheduler = front_;
    around.settings.signs_all = true;
    around.settings.twice_tokens = rules.twice_tokens;
    around.finished = [this](const actors::receipt_effect& e) {
      std::uint64_t number = 0;
      std::memcpy(&number, e.bytes->data(), sizeof number);
      receipts_.emplace_back(number, e.suspect);
    };
    jobs_ = system_.spawn(actors::jobs_behavior, std::move(around));
  }
  ~twice_swarm() {
    for (const caf::actor& one : {jobs_, front_, client_}) {
      caf::anon_send_exit(one, caf::exit_reason::kill);
    }
    jobs_ = front_ = client_ = nullptr;
    while (scheduler_.try_run_once()) {
    }
  }
  twice_swarm(const twice_swarm&) = delete;
  twice_swarm& operator=(const twice_swarm&) = delete;

  /// One event after the other, drawn among all that can happen; time passes when none can.
  void run() {
    while (answered_ < requests) {
      while (asked_ < requests && asked_ - answered_ < together) {
        ask(++asked_);
      }
      if (!step() && !scheduler_.trigger_timeout()) {
        FAIL() << "nothing happens, and " << answered_ << " requests are answered";
      }
    }
    while (!receipts_.empty()) {
      audit();
    }
  }

  [[nodiscard]] bool convicted(std::uint32_t w) const { return records_.convicted(worker(w)); }
  [[nodiscard]] bool was_convicted(std::uint32_t w) const { return guilty_.contains(worker(w)); }

  std::uint64_t tokens_told{0};
  std::uint64_t wrong_told{0};
  std::uint64_t wrong_told_after{0}; ///< of these, of requests with reveal after
  std::uint64_t wrong_whole{0};      ///< answers at their end
  std::uint64_t whole{0};            ///< requests that were answered with every token
  std::uint64_t failed{0};           ///< requests that ended with an error
  std::uint64_t lying_runs{0};       ///< in which somebody stated something wrong
  std::uint64_t suspects{0};         ///< receipts of runs that differ
  std::uint64_t found{0};            ///< lies in what was computed again ...
  std::uint64_t found_open{0};       ///< ... whose author was not convicted
  std::uint64_t honest_convictions{0};
  std::uint64_t shared_nodes{0}; ///< of two runs of one request

private:
  using receipt_bytes = std::shared_ptr<const std::vector<std::byte>>;

  bool step() {
    auto& waiting = scheduler_.jobs;
    const std::size_t choices = waiting.size() + running_.size() + (receipts_.empty() ? 0 : 1);
    if (choices == 0) {
      return false;
    }
    std::size_t chosen = random_() % choices;
    if (chosen < waiting.size()) {
      std::swap(waiting[0], waiting[chosen]);
      return scheduler_.try_run_once();
    }
    chosen -= waiting.size();
    if (chosen < running_.size()) {
      compute(*std::next(running_.begin(), static_cast<std::ptrdiff_t>(chosen)));
    } else {
      audit();
    }
    return true;
  }

  void ask(std::uint64_t number) {
    generation_request request;
    request.id = request_id{number};
    request.model = made("model", 0);
    request.prompt = {static_cast<token_id>(number)};
    request.max_tokens = tokens;
    request.reveal = asks_after(number) ? reveal_when::after : reveal_when::at_once;
    caf::anon_send(jobs_, actors::submit_job{std::move(request)});
    caf::anon_send(jobs_, actors::watch_job{request_id{number}, 0, client_, number, 1});
  }
  [[nodiscard]] bool asks_after(std::uint64_t number) const {
    return rules_.every_second_after && number % 2 == 0;
  }
  void told(const actors::job_token& piece) {
    ++tokens_told;
    const bool wrong = piece.token != right_answer(piece.tag)[piece.index];
    wrong_told += wrong ? 1 : 0;
    wrong_told_after += wrong && asks_after(piece.tag) ? 1 : 0;
  }
  void ended(const actors::job_over& over) {
    ++answered_;
    const auto& report = over.outcome->report;
    if (!report) {
      ++failed;
      return;
    }
    ++whole;
    wrong_whole += report->tokens == right_answer(over.tag) ? 0 : 1;
  }

  // The cluster's side: paths, computation, convictions.

  void begin(const actors::submit_request& command) {
    run_state fresh;
    fresh.asked = command.request;
    fresh.requester = command.requester;
    const run_state* twin = nullptr;
    for (const std::uint64_t number : running_) {
      const run_state& one = runs_.at(number);
      twin = one.asked.id == actors::twin_of(command.request.id) ? &one : twin;
    }
    std::vector<std::uint32_t> free;
    std::uint32_t there = 0;
    for (std::uint32_t w = 0; w < workers; ++w) {
      const bool out = rules_.ejects && convicted(w);
      const bool taken = twin != nullptr && std::count(twin->path.begin(), twin->path.end(), w) > 0;
      there += out ? 0 : 1;
      if (!out && !taken) {
        free.push_back(w);
      }
    }
    std::shuffle(free.begin(), free.end(), random_);
    free.resize(std::min<std::size_t>(free.size(), there / 2)); // leaves a path for its twin
    fresh.path = free;
    for (const std::uint32_t w : fresh.path) {
      shared_nodes +=
          twin != nullptr && std::count(twin->path.begin(), twin->path.end(), w) > 0 ? 1 : 0;
      if (w < liars && random_() % 2 == 0) {
        plan_lies(fresh, w);
      }
    }
    running_.insert(++run_number_);
    runs_.emplace(run_number_, std::move(fresh));
  }
  void plan_lies(run_state& one, std::uint32_t w) {
    for (std::uint64_t left = 1 + random_() % 3; left > 0; --left) {
      const auto layer = static_cast<std::uint32_t>(random_() % layers);
      if (one.worker_of(layer) == w) {
        one.lies.emplace(random_() % tokens, layer);
      }
    }
  }

  void compute(std::uint64_t number) {
    run_state& one = runs_.at(number);
    const auto w = static_cast<std::uint32_t>(one.stated.size());
    std::array<digest, layers> window;
    digest below = embedded(one.prompt(), one.drawn);
    for (std::uint32_t l = 0; l < layers; ++l) {
      below = window[l] = one.lies.contains({w, l})
                              ? made("lie", number, w, l)
                              : computed(below, w == 0 ? digest{} : one.stated.back()[l], l);
    }
    one.stated.push_back(window);
    one.drawn.push_back(token_of(window.back()));
    caf::anon_send(one.requester, actors::text_piece{{w, one.drawn.back(), "t", {}}, one.asked.id});
    if (one.drawn.size() == tokens) {
      end(number, finish_reason::length);
    }
  }
  /// With what there is, as a lead ends.
  void end(std::uint64_t number, finish_reason how) {
    run_state& one = runs_.at(number);
    actors::generation_report report;
    report.tokens = one.drawn;
    report.text = std::string(one.drawn.size(), 't');
    report.end = how;
    hasher all{"ovir/test/transcript"};
    for (const auto& window : one.stated) {
      for (const digest& output : window) {
        all.update(output);
      }
    }
    report.transcript = all.finish();
    std::vector<std::byte> bytes(sizeof number);
    std::memcpy(bytes.data(), &number, sizeof number);
    if (!one.drawn.empty()) {
      report.receipt = std::make_shared<const result<std::vector<std::byte>>>(std::move(bytes));
    }
    lying_runs += one.lies.empty() ? 0 : 1;
    tell_end(number, std::move(report));
  }
  void tell_end(std::uint64_t number, result<actors::generation_report> outcome) {
    running_.erase(number);
    const run_state& one = runs_.at(number);
    caf::anon_send(one.requester, actors::generation_done{one.asked.id, std::move(outcome)});
  }
  void cancel(request_id id) {
    for (const std::uint64_t number : std::set{running_}) {
      if (runs_.at(number).asked.id == id) {
        end(number, finish_reason::cancelled);
      }
    }
  }
  void convict(const node_id& guilty) {
    guilty_.insert(guilty);
    honest_convictions += guilty == worker(0) || guilty == worker(1) ? 0 : 1;
    if (!rules_.ejects) {
      return;
    }
    for (const std::uint64_t number : std::set{running_}) { // what is under way begins again
      const std::vector<std::uint32_t>& path = runs_.at(number).path;
      if (std::any_of(path.begin(), path.end(),
                      [&](std::uint32_t w) { return worker(w) == guilty; })) {
        tell_end(number, error{errc::digest_mismatch, "a node of its path was convicted"});
      }
    }
  }

  // The auditors' side.

  /// As `compute::first_faults`: of each layer the first window that is stated otherwise than
  /// computed again, if the layer below is right so far.
  std::vector<ledger::stated_unit> faults_in(const run_state& one, const grid& again,
                                             std::uint32_t layers_seen) const {
    std::vector<ledger::stated_unit> faults;
    std::size_t sound = again.size();
    for (std::uint32_t l = 0; l < layers_seen; ++l) {
      std::size_t right = 0;
      while (right < again.size() && one.stated[right][l] == again[right][l]) {
        ++right;
      }
      if (right < sound) {
        const node_id signer = worker(one.worker_of(l));
        const bool known = std::any_of(faults.begin(), faults.end(),
                                       [&](const auto& f) { return f.signer == signer; });
        if (!known) {
          faults.push_back({signer, static_cast<std::uint32_t>(right), l,
                            hash_plain(std::as_bytes(std::span{again[right][l].bytes})),
                            one.stated[right][l]});
        }
      }
      sound = std::min(sound, right);
    }
    return faults;
  }

  void audit() {
    const auto [number, suspect] = receipts_.front();
    receipts_.pop_front();
    suspects += suspect ? 1 : 0;
    const run_state& one = runs_.at(number);
    std::vector<ledger::stated_unit> units;
    for (std::uint32_t w = 0; w < one.stated.size(); ++w) {
      for (std::uint32_t l = 0; l < layers; ++l) {
        units.push_back(
            {worker(one.worker_of(l)), w, l, made("key", number, w, l), one.stated[w][l]});
      }
    }
    const auto drawn = book_.draw(made("head", number), units);
    ASSERT_TRUE(drawn.has_value());
    std::uint32_t windows_seen = suspect ? static_cast<std::uint32_t>(one.stated.size()) : 0;
    std::uint32_t layers_seen = suspect ? layers : 0;
    for (const std::size_t i : drawn->units) {
      windows_seen = std::max(windows_seen, units[i].window + 1);
      layers_seen = std::max(layers_seen, units[i].layer + 1);
    }
    grid again;
    while (again.size() < windows_seen) {
      again.push_back(next_window(one.prompt(), std::span{one.drawn}.first(again.size()), again));
    }
    std::set<node_id> at_fault;
    for (const ledger::stated_unit& unit : faults_in(one, again, layers_seen)) {
      at_fault.insert(unit.signer);
      ++found;
      const std::vector<node_id> hosts{auditor(1), auditor(2), unit.signer};
      const digest& right = again[unit.window][unit.layer];
      carry_out(book_.differs(unit, right, hosts, number), right, number);
      found_open += records_.convicted(unit.signer) ? 0 : 1;
    }
    std::erase_if(units, [&](const auto& unit) { return at_fault.contains(unit.signer); });
    book_.settle(units, number);
    if (!rules_.ejects && !at_fault.empty()) { // measured without consequences
      records_ = ledger::track_records{};
      for (std::uint32_t w = 0; w < workers; ++w) {
        records_.apply({0, worker(w), ledger::work_event::valid, 1'000'000});
      }
    }
  }
  // Auditor 1 repeats what was stated, auditor 2 computes.
  void carry_out(std::vector<ledger::audit_effect> effects, const digest& right,
                 std::uint64_t now) {
    while (!effects.empty()) {
      const ledger::audit_effect effect = effects.back();
      effects.pop_back();
      if (const auto* ask = std::get_if<ledger::ask_host>(&effect)) {
        const digest said = ask->host == auditor(1) ? book_.unit_of(ask->about)->stated : right;
        for (auto& more : book_.answered(ask->about, ask->host, said, now)) {
          effects.push_back(std::move(more));
        }
      } else if (const auto* sentence = std::get_if<ledger::convict_signer>(&effect)) {
        (void)book_.learn_conviction(sentence->guilty, now); // it has nothing to say
        convict(sentence->guilty);
      }
    }
  }

  swarm_rules rules_;
  std::mt19937_64 random_;
  counting_env env_;
  silent_log journal_;
  actors::model_catalog models_;
  system_config config_{system_config::simulated()};
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  caf::actor front_;
  caf::actor client_;
  caf::actor jobs_;
  std::map<std::uint64_t, run_state> runs_;
  std::set<std::uint64_t> running_; ///< of these
  std::uint64_t run_number_{0};
  std::uint64_t asked_{0};
  std::uint64_t answered_{0};
  std::deque<std::pair<std::uint64_t, bool>> receipts_; ///< a run, and whether it is suspect
  ledger::track_records records_;
  ledger::audit_book book_;
  std::set<node_id> guilty_;
};

/// Three, or the one that OVIR_SEED names.
std::vector<std::uint64_t> seeds() {
  const char* const given = std::getenv("OVIR_SEED");
  return given == nullptr ? std::vector<std::uint64_t>{6, 7, 8}
                          : std::vector<std::uint64_t>{std::strtoull(given, nullptr, 10)};
}

class twice_swarm_of : public testing::TestWithParam<std::uint64_t> {
protected:
  static void print(const char* what, const twice_swarm& world) {
    std::printf("seed %llu, %s: %llu of %llu requests answered, %llu tokens told, %llu of them "
                "wrong; %llu runs lied, %llu receipts of runs that differ, %llu lies found\n",
                static_cast<unsigned long long>(GetParam()), what,
                static_cast<unsigned long long>(world.whole),
                static_cast<unsigned long long>(requests),
                static_cast<unsigned long long>(world.tokens_told),
                static_cast<unsigned long long>(world.wrong_told),
                static_cast<unsigned long long>(world.lying_runs),
                static_cast<unsigned long long>(world.suspects),
                static_cast<unsigned long long>(world.found));
  }
};
INSTANTIATE_TEST_SUITE_P(of_seed, twice_swarm_of, testing::ValuesIn(seeds()),
                         testing::PrintToStringParamName());

TEST_P(twice_swarm_of, users_get_only_correct_tokens_and_liars_are_out) {
  twice_swarm world{GetParam(), {1, true}};
  world.run();
  print("computed twice", world);
  EXPECT_EQ(world.wrong_told + world.wrong_whole, 0U);
  EXPECT_EQ(world.whole, requests);
  EXPECT_EQ(world.failed, 0U) << "what differs begins again";
  EXPECT_EQ(world.shared_nodes, 0U);
  EXPECT_GT(world.suspects, 1U);
  EXPECT_EQ(world.found_open, 0U) << "every lie that is found convicts";
  EXPECT_EQ(world.honest_convictions, 0U);
  for (std::uint32_t w = 0; w < workers; ++w) {
    EXPECT_EQ(world.convicted(w), w < liars) << w;
  }
}

// Liars that nobody puts out lie in half of their runs, to the end: a request fails rather than
// that a wrong token of it is told.
TEST_P(twice_swarm_of, no_lie_is_told_however_often_it_is_tried) {
  twice_swarm world{GetParam(), {1, false}};
  world.run();
  print("computed twice, without consequences", world);
  EXPECT_EQ(world.wrong_told + world.wrong_whole, 0U);
  EXPECT_EQ(world.whole + world.failed, requests);
  EXPECT_GT(world.whole, requests / 4);
  EXPECT_GT(world.lying_runs, requests / 2);
  EXPECT_GT(world.found, requests / 2);
  EXPECT_EQ(world.found_open, 0U);
  EXPECT_EQ(world.honest_convictions, 0U);
  for (std::uint32_t w = 0; w < liars; ++w) {
    EXPECT_TRUE(world.was_convicted(w)) << w;
  }
}

TEST_P(twice_swarm_of, who_asks_for_it_is_told_no_lie_beside_those_that_are) {
  twice_swarm world{GetParam(), {0, false, true}};
  world.run();
  print("every second one computed twice, without consequences", world);
  EXPECT_EQ(world.wrong_told_after, 0U);
  EXPECT_GT(world.wrong_told, requests / 20);
  EXPECT_EQ(world.shared_nodes, 0U);
  EXPECT_EQ(world.honest_convictions, 0U);
}

// What redundancy is for: without it the same swarm tells wrong tokens.
TEST_P(twice_swarm_of, without_it_lies_are_told) {
  twice_swarm world{GetParam(), {0, false}};
  world.run();
  print("computed once, without consequences", world);
  EXPECT_GT(world.wrong_told, requests / 10);
  EXPECT_EQ(world.suspects, 0U);
  EXPECT_EQ(world.found_open, 0U);
  EXPECT_EQ(world.honest_convictions, 0U);
}

} // namespace
} // namespace ovir::test
