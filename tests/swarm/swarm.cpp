#include "tests/swarm/swarm.hpp"

#include "messages/hex.hpp"
#include "messages/request/request_name.hpp"
#include "tests/swarm/calm.hpp"
#include "tests/swarm/economy/market.hpp"
#include "tests/swarm/hostile_words.hpp"
#include "tests/swarm/liars/escapes.hpp"
#include "tests/swarm/stand_in.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

constexpr nanoseconds turn_most = 10us;
/// In which a cancellation takes its course.
constexpr nanoseconds cancel_takes = 12ms;
/// Between a fault that met one and the next.
constexpr nanoseconds cancels_apart = 1s;
constexpr std::size_t shown_most = 20;
/// Of prefixes on each node: a few requests fill it.
constexpr std::uint64_t store_bytes = std::uint64_t{256} << 10U;
/// By leads, of stages that hold more than they were sent.
constexpr std::string_view said_of_faulty = "the stage says it holds";
// Whose wires are used by whom is no node.
constexpr std::size_t operators_machine = 100'000;
constexpr std::size_t hostile_machine = 100'001;
constexpr std::size_t stranger_machine = 100'002; // the first, with a network of its own each
constexpr std::size_t stranger_machines = 40;
constexpr std::uint64_t token_expires = host_clock::first_unix_seconds + 1'000'000;

std::string address_of(std::size_t number, unsigned port) {
  return fmt::format("10.0.{}.{}:{}", number / 250, number % 250 + 1, port);
}

role_set roles_of(std::size_t number, const intensity& how) {
  if (how.market) {
    return market_roles(number, how.market->keeper_alone);
  }
  role_set roles;
  if (how.ledger && number + 1 == how.nodes) {
    roles.add(role::ledger);
  }
  const bool verifies =
      how.escapes ? verifiers_among(how).contains(number) : number == 0 || number == 2;
  if (how.audits && verifies) {
    roles.add(role::verifier);
  }
  if (number < 2) {
    roles.add(role::scheduler);
  }
  if (number != 0) {
    roles.add(role::worker);
  }
  return roles;
}

constexpr ledger::micro_credits stake_each = 160 * ledger::credit;

/// As config/ledger.toml, or free, but that earnings are released soon, and all is audited where
/// somebody lies all the time.
ledger::policy rules(const intensity& how) {
  if (how.market) {
    return market_rules(*how.market);
  }
  ledger::policy p = how.free ? ledger::free_policy() : ledger::policy{};
  p.audit_window_s = how.escapes ? escapes_window_s : 60;
  p.epoch_s = 2;
  if (!how.escapes) {
    p.deterrence.audit_rate_ppm = how.liars > 0 ? 1'000'000 : shipped_rate_ppm;
  } else if (!how.free) {
    p.deterrence.audit_rate_ppm = shipped_rate_ppm;
  }
  if (how.free) {
    return p;
  }
  p.newcomer_units = how.open ? p.newcomer_units : 100'000;
  p.actions_per_minute_max = 100'000;
  p.deterrence.unit_fee = 32'000'000;
  p.deterrence.saved = 25'600'000;
  p.deterrence.stake = stake_each;
  p.deterrence.planted_ppm = 50'000;
  p.deterrence.audit_fee = 8'000'000;
  p.deterrence.audit_cost = 6'400'000;
  p.deterrence.auditor_stake = stake_each;
  return p;
}

/// Of 8, for which a worker has room where layers are placed: each is held twice, and all are held
/// once where two workers are left.
constexpr std::uint32_t placed_layers = 5;

/// Nodes 0 and 1 have HTTP endpoints; at least two workers hold each layer.
supervision::node_options options_of(std::size_t number, const intensity& how) {
  supervision::node_options o;
  o.name = fmt::format("n{}", number);
  o.cluster = "swarm";
  o.listen = address_of(number, 7300);
  o.state = "state";
  o.roles = roles_of(number, how);
  o.open = how.strangers > 0 || how.open;
  o.audit_every_request = how.audits;
  if (!how.escapes && !how.market && !how.open) {
    o.audit_least_rate_ppm = how.liars > 0 ? 1'000'000 : 500'000;
  }
  if (o.roles.has(role::ledger)) {
    o.ledger.rules = rules(how);
  }
  if (!how.free && !how.market && (o.roles.has(role::worker) || o.roles.has(role::verifier))) {
    o.ledger.stake = stake_each;
  }
  o.threads = 1;
  o.memory_bytes = std::uint64_t{256} << 20U;
  o.cache.disk_bytes = store_bytes;
  if (how.calm) {
    o.cache.disk_bytes = calm_store_bytes;
    o.cache.memory_bytes = calm_memory_bytes;
  }
  for (std::size_t seed = 0; seed < std::min<std::size_t>(how.nodes, 3); ++seed) {
    if (seed != number) {
      o.seeds.push_back(address_of(seed, 7300));
    }
  }
  supervision::model_option model;
  model.path = tiny_model::path;
  if (number < 2) {
    supervision::gateway_option gateway;
    gateway.listen = address_of(number, 80);
    o.gateway = gateway;
  }
  if (number != 0 && number < how.nodes + how.newcomers && !how.placed && !how.market) {
    constexpr std::uint32_t half = tiny_model::layers / 2;
    switch (number % 4) {
    case 1: model.layers = layer_range{0, half + 1}; break;
    case 2: model.layers = layer_range{half, tiny_model::layers}; break;
    case 3: model.layers = layer_range{0, tiny_model::layers}; break;
    default: model.layers = layer_range{half - 1, tiny_model::layers}; break;
    }
  }
  o.models.push_back(std::move(model));
  if (how.market) {
    arrange_market(number, *how.market, o);
  }
  if (how.open) {
    o.audit_twice_tokens = o.roles.has(role::scheduler) ? how.open->twice_tokens : 0;
    o.ledger.stake = number < how.nodes ? o.ledger.stake : 0;
  }
  return o;
}

} // namespace

swarm::swarm(const plan& all, tiny_model& model, options how)
    : plan_(all), model_(model), how_(std::move(how)), history_(how_.keep_history),
      world_(plan_.seed), wires_(world_),
      trouble_(world_, wires_, hosts_, [this](std::size_t who) { start(who); }) {
  const std::size_t strange = plan_.how.open ? plan_.how.open->honest + plan_.how.open->liars : 0;
  std::vector<std::array<std::byte, 32>> seeds(plan_.how.nodes + plan_.how.newcomers + strange);
  chance keys = world_.draws().split(0x6e1);
  for (auto& seed : seeds) {
    keys.fill(seed);
  }
  std::array<std::byte, 32> operators{};
  keys.fill(operators);
  shell_ = std::make_unique<operator_shell>(wires_, operators_machine, operators);
  if (plan_.how.hostile > 0) {
    add_hostile(keys);
  }
  add_strangers(keys);
  std::vector<node_id> ids;
  ids.reserve(seeds.size());
  for (const auto& seed : seeds) {
    ids.push_back(secret_key::from_seed(seed).id());
  }
  const secret_key operator_key = secret_key::from_seed(operators);
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    add_host(i, seeds[i], ids, operator_key);
  }
  listen();
}

void swarm::add_hostile(chance& keys) {
  std::array<std::byte, 32> seed{};
  keys.fill(seed);
  std::vector<std::string> them;
  for (std::size_t i = 0; i < plan_.how.nodes; ++i) {
    them.push_back(address_of(i, 7300));
  }
  hostile_ = std::make_unique<hostile_member>(world_, wires_, hostile_machine, seed,
                                              hostile_roles(), std::move(them),
                                              [this](request_id one) { monitor_.spoiled(one); });
}

void swarm::add_strangers(chance& keys) {
  std::vector<std::string> them;
  for (std::size_t i = 0; i < plan_.how.nodes; ++i) {
    them.push_back(address_of(i, 7300));
  }
  for (std::size_t i = 0; i < plan_.how.strangers; ++i) {
    std::array<std::byte, 32> seed{};
    keys.fill(seed);
    strangers_.push_back(std::make_unique<hostile_member>(
        world_, wires_, stranger_machine + i % stranger_machines, seed,
        role_set{}.add(role::worker), them, [this](request_id one) { monitor_.spoiled(one); },
        1 + i));
  }
}

void swarm::listen() {
  wires_.tap_with([this](std::size_t from, std::size_t to, actors::channel kind,
                         actors::message_kind what, std::uint32_t target,
                         const std::vector<std::byte>& bytes) {
    if (from >= hosts_.size()) {
      return;
    }
    monitor_.hear(from, hosts_[from]->life(), to, what, bytes);
    epochs_.sent(from, hosts_[from]->life(), to, what, target, bytes);
    if (hostile_ != nullptr && from < plan_.how.nodes) {
      hostile_->overhear(to, kind, what, target, bytes);
    }
    if (!strangers_.empty() && from < plan_.how.nodes) { // as if they all told each other
      strangers_[next_stranger_++ % strangers_.size()]->overhear(to, kind, what, target, bytes);
    }
  });
  wires_.tap_arrivals_with([this](std::size_t from, std::size_t to, actors::channel,
                                  actors::message_kind what, std::uint32_t target,
                                  const std::vector<std::byte>& bytes) {
    if (from < hosts_.size() && to < hosts_.size()) {
      epochs_.arrived(from, to, what, target, bytes);
    }
  });
}

swarm::~swarm() = default;

/// A worker in one half of the runs, a scheduler in the other.
role_set swarm::hostile_roles() const {
  return role_set{}.add(plan_.seed % 2 == 0 ? role::worker : role::scheduler);
}

bool swarm::lies(std::size_t who) const {
  return plan_.how.liars > 0 && who == liar_number && !plan_.how.market;
}

void swarm::add_host(std::size_t number, const std::array<std::byte, 32>& key_seed,
                     const std::vector<node_id>& ids, const secret_key& operator_key) {
  host::setting setting;
  setting.number = number;
  setting.key_seed = key_seed;
  setting.options = options_of(number, plan_.how);
  setting.options.admins = {operator_key.id()};
  if (plan_.how.placed) {
    setting.options.memory_bytes = model_.memory_for(placed_layers);
  }
  if (number >= plan_.how.nodes && !plan_.how.open) {
    std::array<std::byte, 16> nonce{};
    world_.draws().split(number).fill(nonce);
    setting.options.join_token = to_text(
        issue_token(operator_key, ids[number], setting.options.roles, token_expires, nonce));
  }
  for (std::size_t other = 0; other < plan_.how.nodes; ++other) {
    if (other != number) {
      setting.options.access.push_back({ids[other], roles_of(other, plan_.how)});
    }
  }
  setting.options.access.push_back({shell_->id(), role_set{}.add(role::operate)});
  if (hostile_) {
    setting.options.access.push_back({hostile_->id(), hostile_roles()});
  }
  // Where requests are paid for, one gateway serves without.
  const bool unpaid = plan_.how.reuse && number == 1 && !plan_.how.free;
  if (plan_.how.ledger && number != keeper() && !unpaid) {
    setting.options.ledger.keepers = {ids[keeper()]};
    setting.options.ledger.serves_unpaid = true;
    setting.options.ledger.follow =
        number <= 2 || roles_of(number, plan_.how).has(role::verifier); // who drives or audits
  }
  setting.load =
      model_.loader(setting.options.roles.has(role::worker), lies(number) && !plan_.how.escapes);
  hosts_.push_back(std::make_unique<host>(world_, wires_, doors_, std::move(setting)));
  is_ready_.push_back(false);
  host& h = *hosts_.back();
  if (plan_.how.counted) {
    h.speed().step = {};
  }
  h.kept().sync_lies = how_.planted == plant::lying_sync;
  h.touched = [this](host& who) { look_after(who); };
  h.says = [this](std::size_t who, std::string_view line) { hear_log(who, line); };
}

/// A line of a node's log: "part request: text".
void swarm::hear_log(std::size_t who, std::string_view line) {
  if (line.find(hostile_reason) != std::string_view::npos) {
    violate(fmt::format("n{} believes what no stage of its requests said: {}", who, line));
  }
  if (line.find(said_of_faulty) != std::string_view::npos && hostile_ == nullptr &&
      strangers_.empty() && plan_.how.liars == 0 && !plan_.how.open) {
    violate(fmt::format("n{} blames an honest node: {}", who, line));
  }
  constexpr std::string_view part = "jobs ";
  std::uint64_t id = 0;
  if (line.starts_with(part)) {
    const auto [rest, error] =
        std::from_chars(line.data() + part.size(), line.data() + line.size(), id, 16);
    if (error == std::errc{} && line.substr(rest - line.data()).starts_with(": done: ")) {
      finished_.insert({id});
    }
  }
  say(fmt::format("n{} {}", who, line));
}

void swarm::say(const std::string& what) {
  if (how_.says) {
    how_.says(world_.now(), what);
  }
}

void swarm::violate(std::string what) {
  say("VIOLATION " + what);
  out_.violations.push_back(std::move(what));
}

void swarm::look_after(host& h) {
  h.plan_timer();
  const std::size_t who = h.how().number;
  if (h.has_turn() && !is_ready_[who]) {
    is_ready_[who] = true;
    ready_.push_back(who);
  }
}

void swarm::start(std::size_t who) {
  host& h = *hosts_[who];
  if (h.is_up()) {
    return;
  }
  const auto started = h.start();
  ++out_.lives;
  if (!started) {
    say(fmt::format("n{} does not start: {}", who, started.error().message));
    world_.in(1s, [this, who] { start(who); });
  }
}

/// Of a free ledger, who pays; else who serves as well, for its stake.
std::size_t swarm::paid_for() const {
  return plan_.how.free ? 2 : plan_.how.open ? plan_.how.nodes : hosts_.size();
}

/// Until the keeper has said that it is done.
void swarm::fund(std::size_t who) {
  const auto answered = [this, who](const operator_shell::json& reply) {
    if (!reply.is_object() || !reply.value("ok", false)) {
      say(fmt::format("no money for n{} yet: {}", who, reply.dump()));
      world_.in(1s, [this, who] { fund(who); });
      return;
    }
    promised_.push_back(operator_shell::head_of(reply.at("data").at("head")));
    history_.add(world_.now(), "acknowledged",
                 fmt::format(R"("entry":{})", reply.at("data").at("entry").get<std::uint64_t>()));
  };
  shell_->call(
      hosts_[keeper()]->how().options.listen, "ledger",
      {{"action", "mint"}, {"subject", to_hex(hosts_[who]->id())}, {"amount", "1000000000000000"}},
      answered);
}

void swarm::plan_all() {
  for (std::size_t who = 0; who < hosts_.size(); ++who) {
    const bool here = who < plan_.how.nodes;
    if (!here && (plan_.how.market || plan_.how.open)) {
      continue; // whose operator brings it
    }
    world_.in(here ? world_.draws().between(0ns, 300ms)
                   : world_.draws().between(nanoseconds{1s}, plan_.how.length),
              [this, who] { start(who); });
  }
  if (hostile_) {
    world_.at(1s, [this] { hostile_->begin(plan_.how.length); });
  }
  for (const auto& stranger : strangers_) {
    world_.at(1s, [this, one = stranger.get()] {
      one->begin(plan_.how.length, 1 + static_cast<std::int64_t>(plan_.how.strangers) / 20);
    });
  }
  for (const fault& f : plan_.faults) {
    world_.at(f.at, [this, &f] {
      say(fmt::format("FAULT {} n{} n{} for {} ms, {}", to_string(f.what), f.who, f.other,
                      f.length / 1ms, f.amount));
      trouble_.begin(f);
    });
  }
  if (plan_.how.ledger) {
    for (std::size_t who = 0; who < paid_for(); ++who) {
      world_.in(500ms, [this, who] { fund(who); });
    }
  }
  for (const auto& h : hosts_) {
    if (h->how().options.gateway) {
      gateways_.push_back(h->how().options.gateway->listen);
    }
  }
  for (const ask& a : plan_.asks) {
    clients_.push_back(std::make_shared<client>(world_, doors_, gateways_, a, history_));
    clients_.back()->on_cancelled = [this](request_id named) {
      monitor_.cancelled(name_in_cluster({}, named), [this](std::size_t from, std::size_t to) {
        return from == to || wires_.reach(from, to);
      });
    };
    if (plan_.how.cancels) {
      clients_.back()->on_cancels = [this](std::size_t gateway) { meet_cancel(gateway); };
    }
    world_.at(a.at, [c = clients_.back()] { c->begin(); });
  }
}

/// Not all of them: the nodes have to come back in between.
void swarm::meet_cancel(std::size_t gateway) {
  if (world_.now() < quiet_until_) {
    return;
  }
  const fault f = draw_fault_of_cancel(world_.draws(), gateway);
  quiet_until_ = world_.now() + f.length + cancels_apart;
  world_.in(world_.draws().between(0ns, cancel_takes), [this, f] {
    say(fmt::format("FAULT {} n{} for {} ms", to_string(f.what), f.who, f.length / 1ms));
    trouble_.begin(f);
  });
}

// Events and turns at the same time come in any order.
bool swarm::step(nanoseconds until) {
  const bool event_due = world_.has_events() && world_.next_time() <= world_.now();
  if (!ready_.empty() && !(event_due && world_.draws().one_in(2))) {
    const std::size_t at = world_.draws().below(ready_.size());
    host& h = *hosts_[ready_[at]];
    is_ready_[ready_[at]] = false;
    ready_[at] = ready_.back();
    ready_.pop_back();
    if (h.has_turn()) {
      h.turn();
      world_.pass(world_.draws().between(1us, turn_most));
      look_after(h);
    }
    return true;
  }
  if (!world_.has_events() || world_.next_time() > until) {
    return false;
  }
  world_.step();
  return true;
}

bool swarm::go(const std::function<bool()>& condition, nanoseconds until) {
  while (!condition()) {
    if (world_.now() > until || !step(until)) {
      return condition();
    }
  }
  return true;
}

void swarm::begin() {
  world_.planted = how_.planted;
  forget_lies();
  if (plan_.how.escapes) {
    begin_lies();
  }
  plan_all();
}

outcome swarm::run() {
  begin();
  const auto all_over = [this] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& c) { return c->over(); });
  };
  if (plan_.how.apart) {
    check_apart();
  }
  static_cast<void>(go([] { return false; }, plan_.how.length + 1s));
  if (plan_.how.takeover) {
    static_cast<void>(go([] { return false; }, plan_.how.length + takeover_bound));
    check_takeover();
  }
  say("everything is mended");
  trouble_.mend();
  static_cast<void>(go(all_over, world_.now() + request_bound));
  if (plan_.how.escapes) {
    check_lies();
  } else if (plan_.how.fork) {
    check_fork();
  } else if (plan_.how.liars == 0) {
    check_answers();
  } else if (lies_told() > 0) {
    await_conviction();
  }
  return end();
}

outcome swarm::end() {
  if (out_.violations.empty() && !plan_.how.fork) {
    check_rest();
  }
  if (plan_.how.calm) {
    check_grown();
  }
  for (const auto& h : hosts_) {
    out_.turns += h->turns();
    if (h->is_up()) {
      h->crash(how_.planted == plant::lying_sync ? crash_kind::power : crash_kind::process);
    }
    if (h->actors_left() > 0) {
      violate(
          fmt::format("{} actors of n{} outlived their tree", h->actors_left(), h->how().number));
    }
  }
  if (plan_.how.ledger && !plan_.how.fork) {
    check_ledger();
  }
  if (how_.planted != plant::none) {
    out_.violations.clear();
  }
  out_.trace = world_.trace();
  out_.events = world_.notes();
  out_.messages = wires_.messages();
  out_.bytes = wires_.bytes();
  out_.virtual_time = world_.now();
  if (out_.violations.size() > shown_most) {
    out_.violations.resize(shown_most);
  }
  return out_;
}

} // namespace ovir::swarm
