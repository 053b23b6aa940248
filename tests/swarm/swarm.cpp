#include "tests/swarm/swarm.hpp"

#include "compute/text/tokenizer.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/hex.hpp"
#include "messages/request/request_name.hpp"
#include "tests/swarm/rest.hpp"
#include "tests/swarm/stand_in.hpp"

#include <caf/all.hpp>

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

/// In which a request ends once nothing goes wrong any more.
constexpr nanoseconds request_bound = 120s;
/// In which nothing of it is left behind.
constexpr nanoseconds rest_bound = 240s;
/// In which a lie that was told in a finished request is found.
constexpr nanoseconds conviction_bound = 180s;
/// A worker that is no verifier.
constexpr std::size_t liar_number = 3;
constexpr nanoseconds turn_most = 10us;
constexpr std::size_t shown_most = 20;
/// Drawn last by a scheduler that ended, which no log has.
constexpr std::uint32_t takeover_tokens = 4;
// Whose wires are used by whom is no node.
constexpr std::size_t operators_machine = 100'000;
constexpr std::size_t hostile_machine = 100'001;
constexpr std::uint64_t token_expires = host_clock::first_unix_seconds + 1'000'000;

std::string address_of(std::size_t number, unsigned port) {
  return fmt::format("10.0.{}.{}:{}", number / 250, number % 250 + 1, port);
}

role_set roles_of(std::size_t number, const intensity& how) {
  role_set roles;
  if (how.ledger && number + 1 == how.nodes) {
    roles.add(role::ledger);
  }
  if (how.audits && (number == 0 || number == 2)) {
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

/// As docs/formats/admin.md shows it.
ledger::signed_head head_of(const operator_shell::json& shown) {
  ledger::signed_head h;
  h.head.ledger = digest_from_hex(shown.at("ledger").get<std::string>()).value();
  h.head.size = shown.at("size");
  h.head.root = digest_from_hex(shown.at("root").get<std::string>()).value();
  h.head.chain = digest_from_hex(shown.at("chain").get<std::string>()).value();
  h.head.time = shown.at("time");
  h.keeper = node_id_from_hex(shown.at("keeper").get<std::string>()).value();
  const auto bytes =
      bytes_from_hex(shown.at("signature").get<std::string>(), "a signature", h.proof.bytes.size())
          .value();
  std::memcpy(h.proof.bytes.data(), bytes.data(), bytes.size());
  return h;
}

/// As config/ledger.toml, but that earnings are released soon.
ledger::policy rules() {
  ledger::policy p;
  p.audit_window_s = 60;
  p.newcomer_units = 100'000;
  p.actions_per_minute_max = 100'000;
  p.deterrence.audit_rate_ppm = 150'000;
  p.deterrence.unit_fee = 32'000'000;
  p.deterrence.saved = 25'600'000;
  p.deterrence.stake = 160'000'000;
  p.deterrence.planted_ppm = 50'000;
  p.deterrence.audit_fee = 8'000'000;
  p.deterrence.audit_cost = 6'400'000;
  p.deterrence.auditor_stake = 160'000'000;
  return p;
}

/// Nodes 0 and 1 have HTTP endpoints; at least two workers hold each layer.
supervision::node_options options_of(std::size_t number, const intensity& how) {
  supervision::node_options o;
  o.name = fmt::format("n{}", number);
  o.cluster = "swarm";
  o.listen = address_of(number, 7300);
  o.state = "state";
  o.roles = roles_of(number, how);
  o.audit_every_request = how.audits;
  o.audit_least_rate_ppm = how.liars > 0 ? 1'000'000 : 500'000;
  if (o.roles.has(role::ledger)) {
    o.ledger.rules = rules();
  }
  o.threads = 1;
  o.memory_bytes = std::uint64_t{256} << 20U;
  o.cache.disk_bytes = 0;
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
  if (number != 0) {
    constexpr std::uint32_t half = tiny_model::layers / 2;
    switch (number % 4) {
    case 1: model.layers = layer_range{0, half + 1}; break;
    case 2: model.layers = layer_range{half, tiny_model::layers}; break;
    case 3: model.layers = layer_range{0, tiny_model::layers}; break;
    default: model.layers = layer_range{half - 1, tiny_model::layers}; break;
    }
  }
  o.models.push_back(std::move(model));
  return o;
}

} // namespace

swarm::swarm(const plan& all, tiny_model& model, options how)
    : plan_(all), model_(model), how_(std::move(how)), history_(how_.keep_history),
      world_(plan_.seed), wires_(world_),
      trouble_(world_, wires_, hosts_, [this](std::size_t who) { start(who); }) {
  std::vector<std::array<std::byte, 32>> seeds(plan_.how.nodes + plan_.how.newcomers);
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
  std::vector<node_id> ids;
  for (const auto& seed : seeds) {
    ids.push_back(secret_key::from_seed(seed).id());
  }
  const secret_key operator_key = secret_key::from_seed(operators);
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    add_host(i, seeds[i], ids, operator_key);
  }
}

void swarm::add_hostile(chance& keys) {
  std::array<std::byte, 32> seed{};
  keys.fill(seed);
  std::vector<std::string> them;
  for (std::size_t i = 0; i < plan_.how.nodes; ++i) {
    them.push_back(address_of(i, 7300));
  }
  hostile_ = std::make_unique<hostile_member>(world_, wires_, hostile_machine, seed,
                                              hostile_roles(), std::move(them));
  wires_.tap_with([this](std::size_t from, actors::channel kind, actors::message_kind what,
                         std::uint32_t target, const std::vector<std::byte>& bytes) {
    if (from < plan_.how.nodes) {
      hostile_->overhear(kind, what, target, bytes);
    }
  });
}

swarm::~swarm() = default;

/// A worker in one half of the runs, a scheduler in the other.
role_set swarm::hostile_roles() const {
  return role_set{}.add(plan_.seed % 2 == 0 ? role::worker : role::scheduler);
}

bool swarm::lies(std::size_t who) const { return plan_.how.liars > 0 && who == liar_number; }

void swarm::add_host(std::size_t number, const std::array<std::byte, 32>& key_seed,
                     const std::vector<node_id>& ids, const secret_key& operator_key) {
  host::setting setting;
  setting.number = number;
  setting.key_seed = key_seed;
  setting.options = options_of(number, plan_.how);
  setting.options.admins = {operator_key.id()};
  if (number >= plan_.how.nodes) {
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
  if (plan_.how.ledger && number != keeper()) {
    setting.options.ledger.keeper = ids[keeper()];
    setting.options.ledger.serves_unpaid = true;
    setting.options.ledger.follow = number == 0;
  }
  setting.load = model_.loader(setting.options.roles.has(role::worker), lies(number));
  hosts_.push_back(std::make_unique<host>(world_, wires_, doors_, std::move(setting)));
  is_ready_.push_back(false);
  host& h = *hosts_.back();
  h.kept().sync_lies = how_.planted == plant::lying_sync;
  h.touched = [this](host& who) { look_after(who); };
  if (how_.says) {
    h.says = [this](std::size_t who, std::string_view line) {
      say(fmt::format("n{} {}", who, line));
    };
  }
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

/// Until the keeper has said that it is done.
void swarm::fund(std::size_t who) {
  const auto answered = [this, who](const operator_shell::json& reply) {
    if (!reply.is_object() || !reply.value("ok", false)) {
      say(fmt::format("no money for n{} yet: {}", who, reply.dump()));
      world_.in(1s, [this, who] { fund(who); });
      return;
    }
    promised_.push_back(head_of(reply.at("data").at("head")));
    history_.add(world_.now(), "acknowledged",
                 fmt::format(R"("entry":{})", reply.at("data").at("entry").get<std::uint64_t>()));
  };
  shell_->call(
      hosts_[keeper()]->how().options.listen, "ledger",
      {{"action", "mint"}, {"subject", to_hex(hosts_[who]->id())}, {"amount", "1000000000000"}},
      answered);
}

void swarm::plan_all() {
  for (std::size_t who = 0; who < hosts_.size(); ++who) {
    const bool here = who < plan_.how.nodes;
    world_.in(here ? world_.draws().between(0ns, 300ms)
                   : world_.draws().between(nanoseconds{1s}, plan_.how.length),
              [this, who] { start(who); });
  }
  if (hostile_) {
    world_.at(1s, [this] { hostile_->begin(plan_.how.length); });
  }
  for (const fault& f : plan_.faults) {
    world_.at(f.at, [this, &f] {
      say(fmt::format("FAULT {} n{} n{} for {} ms, {}", to_string(f.what), f.who, f.other,
                      f.length / 1ms, f.amount));
      trouble_.begin(f);
    });
  }
  if (plan_.how.ledger) {
    for (std::size_t who = 0; who < 2; ++who) {
      world_.in(500ms, [this, who] { fund(who); });
    }
  }
  std::vector<std::string> gateways;
  for (const auto& h : hosts_) {
    if (h->how().options.gateway) {
      gateways.push_back(h->how().options.gateway->listen);
    }
  }
  for (const ask& a : plan_.asks) {
    clients_.push_back(std::make_shared<client>(world_, doors_, gateways, a, history_));
    world_.at(a.at, [c = clients_.back()] { c->begin(); });
  }
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

void swarm::check_answers() {
  for (const auto& c : clients_) {
    out_.attempts += c->attempts();
    const ask& a = c->asked();
    if (c->how() == client::state::refused) {
      violate(fmt::format("client {} was refused for good: {}", a.client, c->trouble()));
      continue;
    }
    if (!c->over()) {
      violate(fmt::format("client {} waits {} s after the last fault: {} ({} attempts, {} bytes)",
                          a.client, request_bound / 1s, c->trouble(), c->attempts(),
                          c->text().size()));
      continue;
    }
    const auto& tokens = model_.answer(a.wanted);
    const std::string text = model_.text(tokens);
    const bool whole = c->how() == client::state::answered;
    out_.answered += whole ? 1 : 0;
    out_.cancelled += whole ? 0 : 1;
    bool right = c->text() == text;
    for (std::size_t n = 0; !whole && !right && n < tokens.size(); ++n) {
      right = c->text() ==
              model_.text({tokens.begin(), tokens.begin() + static_cast<std::ptrdiff_t>(n)});
    }
    if (!right) {
      violate(fmt::format("client {} got other bytes than one process answers: {} of {}", a.client,
                          c->text().size(), text.size()));
    }
    const std::string reason = model_.ends(tokens) ? "stop" : "length";
    if (whole && c->reason() != reason) {
      violate(fmt::format("client {} was told the end '{}' and not '{}'", a.client, c->reason(),
                          reason));
    }
    if (c->went_on()) {
      violate(fmt::format("client {} was told more after its cancellation", a.client));
    }
    if (!whole && a.cancel_after == 0) {
      violate(fmt::format("client {} was told that its request was cancelled", a.client));
    }
  }
}

std::shared_ptr<told_state> swarm::ask_everybody() {
  auto seen = ask_all(hosts_, [this](host& h) { look_after(h); });
  static_cast<void>(go([&seen] { return seen->complete(); }, world_.now() + 6s));
  return seen;
}

void swarm::check_rest() {
  const nanoseconds until = world_.now() + rest_bound;
  std::vector<std::string> wrong{"nobody was asked"};
  while (!wrong.empty() && world_.now() < until) {
    wrong = wrong_at_rest(*ask_everybody(), hosts_, plan_.how.liars > 0);
    if (!wrong.empty()) {
      static_cast<void>(go([] { return false; }, world_.now() + 1s));
    }
  }
  for (std::string& one : wrong) {
    violate(std::move(one));
  }
}

/// While the scheduler that ended is away, or soon after it is back.
void swarm::check_takeover() {
  const auto seen = ask_everybody();
  for (const auto& c : clients_) {
    if (c->asked().comes_back == nanoseconds{0} || !c->has_some() || c->over()) {
      continue;
    }
    const actors::job_view* const job = answered_by(*seen, name_in_cluster({}, c->id()));
    if (job == nullptr) {
      violate(fmt::format("the request of client {} did not go on without it", c->asked().client));
    } else if (!job->paths.empty() && job->paths.front().from + takeover_tokens < c->events()) {
      violate(fmt::format("the request of client {} went on from token {} and not from {}",
                          c->asked().client, job->paths.front().from, c->events()));
    }
  }
  if (seen->sessions > 0) {
    violate(fmt::format("{} sessions are left of requests that are over", seen->sessions));
  }
  for (std::string& one : wrong_views(*seen, hosts_)) {
    violate(std::move(one));
  }
}

/// Who lied is convicted by the verifiers, and nobody else.
void swarm::await_conviction() {
  std::set<node_id> convicted;
  const auto liar = hosts_[liar_number]->id();
  const auto ask = [this, &convicted] {
    shell_->call(hosts_[0]->how().options.listen, "audits", operator_shell::json::object(),
                 [&convicted](const operator_shell::json& reply) {
                   if (reply.is_object() && reply.value("ok", false)) {
                     for (const auto& one : reply["data"]["convictions"]) {
                       convicted.insert(node_id_from_hex(one["node"].get<std::string>()).value());
                     }
                   }
                 });
  };
  const nanoseconds until = world_.now() + conviction_bound;
  while (!convicted.contains(liar) && world_.now() < until) {
    ask();
    static_cast<void>(go([] { return false; }, world_.now() + 2s));
  }
  if (!convicted.contains(liar)) {
    violate(fmt::format("n{} lied {} times and was not convicted", liar_number, lies_told()));
  }
  convicted.erase(liar);
  if (!convicted.empty()) {
    violate(fmt::format("{} honest nodes were convicted", convicted.size()));
  }
}

/// The log on the keeper's disk: every entry, every rule, and every head it ever signed.
void swarm::check_ledger() {
  host& keeps = *hosts_[keeper()];
  const auto file = keeps.kept().files.find("state/ledger/log");
  if (file == keeps.kept().files.end()) {
    return violate("the keeper has no log");
  }
  disk_env env{
      keeps.kept(), {[] { return storage::env::time_point{}; }, [] { return 0U; }}, chance{1}};
  const auto log = env.open_durable("state/ledger/log", storage::durable_use::read);
  ledger::verify_options how;
  how.heads = promised_;
  open_escrows open;
  how.visit = [this, &open](std::uint64_t index, const ledger::entry& e, const auto&) {
    open.note(e.what);
    if (std::holds_alternative<ledger::mint>(e.what)) {
      history_.add(world_.now(), "in_log", fmt::format(R"("entry":{})", index));
    }
  };
  const auto seen = ledger::verify_log(**log, how);
  if (!seen) {
    return violate("the keeper's log cannot be read: " + seen.error().message);
  }
  if (seen->fault) {
    violate(fmt::format("the keeper's log is wrong at entry {}: {}", seen->fault->entry.value_or(0),
                        seen->fault->what));
  }
  out_.entries = seen->head.size;
  if (open.count() > 0 && plan_.how.liars == 0) {
    violate(fmt::format("{} reservations are open at rest", open.count()));
  }
  if (seen->convictions > 0 && plan_.how.liars == 0) {
    violate(fmt::format("{} honest nodes were convicted", seen->convictions));
  }
}

/// A keeper that signed two histories is found out, and what shows it is kept.
void swarm::check_fork() {
  const auto found = std::any_of(hosts_.begin(), hosts_.end(), [](const auto& h) {
    return h->kept().files.contains("state/payments/fork");
  });
  if (!found) {
    violate("nobody has evidence against the keeper that forgot what it signed");
  }
}

outcome swarm::run() {
  world_.planted = how_.planted;
  forget_lies();
  plan_all();
  const auto all_over = [this] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& c) { return c->over(); });
  };
  static_cast<void>(go([] { return false; }, plan_.how.length + 1s));
  if (plan_.how.takeover) {
    static_cast<void>(go([] { return false; }, plan_.how.length + takeover_bound));
    check_takeover();
  }
  say("everything is mended");
  trouble_.mend();
  static_cast<void>(go(all_over, world_.now() + request_bound));
  if (plan_.how.fork) {
    check_fork();
  } else if (plan_.how.liars == 0) {
    check_answers();
  } else if (lies_told() > 0) {
    await_conviction();
  }
  if (out_.violations.empty() && !plan_.how.fork) {
    check_rest();
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
