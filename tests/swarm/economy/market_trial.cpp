#include "tests/swarm/economy/market_trial.hpp"

#include "ledger/keeper/verify.hpp"
#include "messages/hex.hpp"
#include "tests/swarm/economy/work.hpp"
#include "tests/swarm/liars/collusion.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <utility>
#include <variant>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using nlohmann::json;

constexpr nanoseconds way_to_market = 300us;
// Of requests: tokens, and the time between two of them.
constexpr std::uint64_t prompt_least = 48;
constexpr std::uint64_t prompt_most = 96;
constexpr std::uint64_t answer_least_here = 32;
constexpr std::uint64_t answer_most_here = 64;
constexpr nanoseconds gap_least = 100ms;
constexpr nanoseconds gap_most = 300ms;
constexpr int gaps_at_first = 5; ///< as long, until there is standing
/// Wide, but not without end: a step of it is measured by what is left.
constexpr std::chrono::milliseconds deadline_here = 8s;

constexpr std::uint64_t lazy_one_in = 5;
/// A late seat: in each of these, for so long, a step takes so long.
constexpr nanoseconds late_every = 1s;
constexpr nanoseconds late_for = 250ms;
constexpr nanoseconds late_step = 400ms;
constexpr nanoseconds usual_step = 2ms;
/// So that the seat has most of the work, as long as it is planned with at all.
constexpr nanoseconds rival_step = 5ms;

constexpr nanoseconds asks_for_convictions = 1s;
/// In which all that was asked for is answered, paid, audited and released; claims take longer.
constexpr nanoseconds released_within = 100s;
constexpr nanoseconds claimed_within = 150s;
constexpr std::int64_t token_price_here = 1'000'000;
constexpr std::size_t failures_told = 5;

plan swarm_plan_of(const market_plan& from) {
  plan p;
  p.seed = from.seed;
  p.how.nodes = market_nodes;
  p.how.newcomers = market_further_keys;
  p.how.requests = 0;
  p.how.faults = 0;
  p.how.reuse = false; // all is paid for
  p.how.liars = states_wrongly(from.plays) || schedules(from.plays) ? 1 : 0;
  p.how.market = market_terms{from.seldom, from.plays == market_play::keys,
                              from.plays == market_play::hoarding, from.keeper_alone};
  return p;
}

digest purse_owner(const node_id& node) { return ledger::purse_of(ledger::purse::free, node).of; }

} // namespace

class market_request final : public http_client {
public:
  market_request(chance draws, std::size_t gateway, std::function<void(const market_request&)> over)
      : gateway_(gateway), over_(std::move(over)) {
    const std::uint64_t prompt = draws.between(prompt_least, prompt_most);
    for (std::uint64_t i = 0; i < prompt; ++i) {
      prompt_.push_back(static_cast<token_id>(draws.between(0, tiny_model::vocabulary - 5)));
    }
    max_tokens_ = draws.between(answer_least_here, answer_most_here);
  }

  [[nodiscard]] gateway::http_request request(const std::string& host) const {
    gateway::http_request r;
    r.method = "POST";
    r.path = "/v1/completions";
    r.fields["host"] = host;
    r.fields["content-type"] = "application/json";
    r.body = json{{"model", "tiny"},
                  {"prompt", prompt_},
                  {"max_tokens", max_tokens_},
                  {"temperature", 0},
                  {"deadline_ms", deadline_here.count()}}
                 .dump();
    return r;
  }

  void on_head(int status, const gateway::http_reply& /*head*/) override { status_ = status; }
  void on_piece(const std::string& bytes) override { body_ += bytes; }
  void on_lost() override { end("the connection was lost"); }
  void on_end() override {
    const json said = json::parse(body_, nullptr, false);
    if (status_ != 200 || !said.is_object() || !said.contains("usage")) {
      return end(fmt::format("{} {}", status_, body_));
    }
    tokens_ = said["usage"].value("total_tokens", std::uint64_t{0});
    end({});
  }

  [[nodiscard]] std::size_t at() const noexcept { return gateway_; }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }
  /// Of prompt and answer; 0: it failed.
  [[nodiscard]] std::uint64_t tokens() const noexcept { return tokens_; }

private:
  void end(std::string why) {
    if (over_) {
      why_ = std::move(why);
      std::exchange(over_, {})(*this);
    }
  }

  std::size_t gateway_;
  std::function<void(const market_request&)> over_;
  std::vector<token_id> prompt_;
  std::uint64_t max_tokens_{1};
  int status_{0};
  std::string body_;
  std::uint64_t tokens_{0};
  std::string why_;
};

market_account& market_account::operator+=(const market_account& other) {
  for (const auto number :
       {&market_account::paid, &market_account::fees, &market_account::found,
        &market_account::taken_back, &market_account::slashed, &market_account::stake_left,
        &market_account::charged, &market_account::spent, &market_account::cost}) {
    this->*number += other.*number;
  }
  for (const auto number :
       {&market_account::windows, &market_account::late, &market_account::computed,
        &market_account::made_up, &market_account::convicted}) {
    this->*number += other.*number;
  }
  return *this;
}

market_account market_report::sum(const std::set<std::size_t>& of) const {
  market_account all;
  for (const std::size_t who : of) {
    if (who < hosts.size()) {
      all += hosts[who];
    }
  }
  return all;
}

market_account market_report::operators(market_play p) const {
  market_account all = sum(market_operator(p));
  if (p == market_play::colluding) {
    all.cost -= hosts.at(market_colluder).cost;
  }
  return all;
}

market_trial::market_trial(const market_plan& plan, tiny_model& model,
                           std::function<void(nanoseconds, const std::string&)> says)
    : plan_(plan), swarm_(swarm_plan_of(plan), model, {false, plant::none, std::move(says)}),
      draws_(chance{plan.seed}.split(0x3a6e7)), operator_(market_operator(plan.plays)) {
  report_.hosts.resize(swarm_.hosts().size());
  for (const auto& h : swarm_.hosts()) {
    numbers_[purse_owner(h->id())] = h->how().number;
  }
}

market_trial::~market_trial() {
  end_work();
  end_collusion();
}

bool market_trial::cheats_now() {
  const bool patient = plan_.plays != market_play::impatient && plan_.plays != market_play::sybil;
  // An operator whose keys are gone has nothing to be patient for.
  return !patient || swarm_.in().now() >= cheats_begin;
}

bool market_trial::makes_up(std::size_t who, std::uint64_t session, std::uint32_t window) {
  if (!operator_.contains(who) || who == market_colluder || !states_wrongly(plan_.plays) ||
      !cheats_now()) {
    return false;
  }
  return plan_.plays != market_play::lazy ||
         chance{plan_.seed}.split(session * 0x10001 + window).one_in(lazy_one_in);
}

/// Puts the cheats of this play in front of its operator's nodes.
void market_trial::play() {
  cheating how;
  how.makes_up = [this](std::size_t who, std::uint64_t session, std::uint32_t window) {
    return makes_up(who, session, window);
  };
  if (states_wrongly(plan_.plays)) {
    how.liars = operator_;
    how.liars.erase(market_colluder);
  }
  if (schedules(plan_.plays)) {
    how.schedulers = operator_;
    how.pays = [this](std::optional<ledger::command> right, bool ended,
                      const ledger::escrow_id& escrow) -> std::optional<ledger::command> {
      if (!cheats_now()) {
        return right;
      }
      return plan_.plays == market_play::settling && ended && right
                 ? std::optional<ledger::command>{ledger::settle{escrow}}
                 : std::nullopt;
    };
  }
  begin_work(std::move(how));
  if (plan_.plays == market_play::colluding) {
    begin_collusion({{market_colluder},
                     {swarm_.hosts()[market_colluder]->id()},
                     swarm_.hosts()[market_seat]->id()});
  }
  world& in = swarm_.in();
  if (plan_.plays == market_play::late) {
    in.at(cheats_begin, [this] { stand_still(); });
  }
  if (plan_.plays == market_play::keys) {
    for (std::size_t i = 0; i < market_further_keys; ++i) {
      in.at(market_begins / 2, [this, i] { swarm_.start(market_nodes + i); });
    }
  }
  if (plan_.plays == market_play::sybil) {
    in.at(market_begins, [this] { watch_key(market_seat); });
  }
}

/// The seat's processor does something else for a while.
void market_trial::stand_still() {
  host& seat = *swarm_.hosts()[market_seat];
  seat.speed().step = late_step;
  swarm_.in().in(late_for, [this, &seat] {
    seat.speed().step = usual_step;
    swarm_.in().in(late_every - late_for, [this] { stand_still(); });
  });
}

/// Convicted, the operator begins anew under the next key, as long as it has any.
void market_trial::watch_key(std::size_t current) {
  const std::size_t next = current == market_seat ? market_nodes : current + 1;
  if (next == swarm_.hosts().size()) {
    return;
  }
  const std::string key = to_hex(swarm_.hosts()[current]->id());
  swarm_.shell().call(swarm_.hosts()[market_colluder]->how().options.listen, "audits",
                      operator_shell::json::object(),
                      [this, key, current, next](const json& reply) {
                        bool convicted = false;
                        if (reply.is_object() && reply.value("ok", false)) {
                          const json& all = reply["data"]["convictions"];
                          convicted = std::any_of(all.begin(), all.end(), [&](const json& one) {
                            return one["node"] == key;
                          });
                        }
                        if (convicted) {
                          swarm_.start(next);
                        }
                        swarm_.in().in(asks_for_convictions,
                                       [this, at = convicted ? next : current] { watch_key(at); });
                      });
}

void market_trial::ask() {
  const std::size_t to = asked_ % swarm_.gateways().size();
  const auto one =
      std::make_shared<market_request>(draws_.split(asked_), to, [this](const market_request& r) {
        --open_;
        count(r);
      });
  ++asked_;
  ++open_;
  swarm_.in().in(way_to_market, [this, one, to] {
    const std::string& address = swarm_.gateways()[to];
    const auto there = swarm_.doors().find(address);
    if (there == swarm_.doors().end()) {
      return one->on_lost();
    }
    static_cast<void>(there->second->take(one->request(address), one, way_to_market));
  });
  if (asked_ < plan_.requests) {
    const nanoseconds gap = draws_.between(gap_least, gap_most);
    swarm_.in().in(swarm_.in().now() < cheats_begin ? gap * gaps_at_first : gap, [this] { ask(); });
  }
}

void market_trial::count(const market_request& one) {
  if (one.tokens() == 0) {
    ++report_.failed;
    if (report_.failures.size() < failures_told) {
      report_.failures.push_back(fmt::format(
          "{:.3f} s: {}", std::chrono::duration<double>(swarm_.in().now()).count(), one.why()));
    }
    return;
  }
  ++report_.answered;
  report_.hosts[one.at()].charged += static_cast<std::int64_t>(one.tokens()) * token_price_here;
}

/// Who got what, and from where.
void market_trial::note(const ledger::entry& e, const std::vector<ledger::posting>& moved) {
  using ledger::posting_kind;
  using ledger::purse;
  const bool audit = std::holds_alternative<ledger::compensate>(e.what);
  if (const auto* const r = std::get_if<ledger::reserve>(&e.what)) {
    payers_[ledger::escrow_of(*r)] = numbers_.at(purse_owner(r->payer));
  }
  const auto account = [this](const ledger::account_ref& ref) -> market_account* {
    const auto found = numbers_.find(ref.of);
    return found == numbers_.end() ? nullptr : &report_.hosts[found->second];
  };
  for (const ledger::posting& p : moved) {
    const auto amount = static_cast<std::int64_t>(p.amount);
    if (market_account* const from = account(p.from)) {
      if (p.from.kind == purse::pending && p.kind != posting_kind::release) {
        from->taken_back += amount;
      } else if (p.from.kind == purse::stake) {
        from->stake_left -= amount;
        from->slashed += p.kind == posting_kind::unlock ? 0 : amount;
      }
    }
    if (const auto payer = payers_.find(p.from.of);
        p.from.kind == purse::escrow && payer != payers_.end() && p.to.kind != purse::free) {
      report_.hosts[payer->second].spent += amount;
    }
    if (market_account* const to = account(p.to)) {
      if (p.to.kind == purse::pending) {
        (audit ? to->fees : to->paid) += amount;
      } else if (p.to.kind == purse::stake) {
        to->stake_left += amount;
      } else if (p.to.kind == purse::free && p.kind == posting_kind::finder_fee) {
        to->found += amount;
      } else if (p.to.kind == purse::free &&
                 (p.kind == posting_kind::clawback || p.kind == posting_kind::slash)) {
        to->spent -= amount; // for a window that was wrong
      }
    }
  }
  if (const auto* const a = std::get_if<ledger::accrue>(&e.what)) {
    for (const ledger::window_share& s : a->computed) {
      if (const auto found = numbers_.find(purse_owner(s.node)); found != numbers_.end()) {
        ++report_.hosts[found->second].windows;
        report_.hosts[found->second].late += s.late_ppm > 0 ? 1 : 0;
      }
    }
  } else if (const auto* const c = std::get_if<ledger::convict>(&e.what)) {
    const std::size_t who = numbers_.at(purse_owner(c->guilty));
    ++report_.hosts[who].convicted;
    if (!operator_.contains(who) || !states_wrongly(plan_.plays)) {
      report_.violations.push_back(fmt::format("n{} is honest and was convicted", who));
    }
  }
}

void market_trial::read_log() {
  disk_env env{swarm_.hosts()[swarm_.keeper()]->kept(),
               {[] { return storage::env::time_point{}; }, [] { return 0U; }},
               chance{1}};
  const auto log = env.open_durable("state/ledger/log", storage::durable_use::read);
  if (!log) {
    return report_.violations.push_back("the keeper's log cannot be read: " + log.error().message);
  }
  ledger::verify_options how;
  how.signatures = false; // the swarm looks at them at its end
  how.visit = [this](std::uint64_t, const ledger::entry& e, const auto& moved) { note(e, moved); };
  if (const auto seen = ledger::verify_log(**log, how); !seen || seen->fault) {
    report_.violations.push_back("the keeper's log is wrong");
  }
}

void market_trial::note_work() {
  for (const auto& [who, done] : work_of_hosts()) {
    market_account& a = report_.hosts.at(who);
    a.computed = done.computed;
    a.made_up = done.made_up;
    a.cost = static_cast<std::int64_t>(done.computed * row_layer_cost);
  }
}

market_report market_trial::run() {
  swarm_.begin();
  swarm_.hosts()[market_rival]->speed().step = rival_step;
  const auto never = [] { return false; };
  swarm_.in().at(market_begins / 5, [this] { play(); });
  static_cast<void>(swarm_.go(never, market_begins));
  ask();
  static_cast<void>(
      swarm_.go([this] { return asked_ == plan_.requests && open_ == 0; },
                cheats_begin + gap_most * static_cast<int>(plan_.requests) + request_bound));
  if (open_ > 0) {
    report_.violations.push_back(fmt::format("{} requests have no end", open_));
  }
  static_cast<void>(swarm_.go(
      never, swarm_.in().now() + (schedules(plan_.plays) ? claimed_within : released_within)));
  note_work();
  report_.rest = swarm_.end();
  for (const std::string& one : report_.rest.violations) {
    report_.violations.push_back(one);
  }
  read_log();
  return std::move(report_);
}

} // namespace ovir::swarm
