#include "tests/swarm/crowd.hpp"

#include "messages/limits/crowd.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/links.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;
using namespace ovir::actors;

constexpr nanoseconds tick_every = 100ms; // as membership_actor.cpp does
constexpr nanoseconds knock_every = 500ms;
constexpr nanoseconds seed_every = 60s;
constexpr nanoseconds silence_ends = 20s; // a machine without power: then its links are given up
constexpr std::size_t violations_max = 20;
constexpr std::size_t header_bytes = 40;       // of a frame and of a TLS record
constexpr std::size_t handshake_bytes = 1'300; // about; of each end, with its hello
constexpr nanoseconds load_every = 10s;
constexpr nanoseconds churn_every = 1s;
constexpr std::uint64_t round_trips_of_a_link = 6; // TCP and TLS, twice

secret_key key_of(std::uint64_t seed, std::uint64_t number) {
  std::array<std::byte, secret_key::seed_size> bytes{};
  chance draws = chance{seed}.split(number);
  draws.fill(bytes);
  return secret_key::from_seed(bytes);
}

node_advert advert_of(std::size_t i) {
  node_advert a;
  a.name = "n" + std::to_string(i);
  a.address = a.name + ":1";
  a.roles.add(role::worker);
  a.memory_bytes = 8U << 20U;
  a.memory_free = 8U << 20U;
  a.decode_bytes_per_second = 1'000'000 + i;
  a.held = {{digest{}, i / 2 % 2 == 0 ? layer_range{0, 4} : layer_range{4, 8}, 8}};
  return a;
}

/// Between two adverts of a node's load, as `may_advertise` has it.
nanoseconds load_turns(const crowd_plan& plan) {
  const std::size_t thinned = plan.nodes > plan.times.lists_above
                                  ? std::max<std::size_t>(1, plan.nodes / limits::thinned_each)
                                  : 1;
  return static_cast<std::int64_t>(thinned * plan.nodes) * plan.times.probe_interval;
}

/// As its shell does in a large crowd.
std::int64_t rarer(const crowd_plan& plan) {
  return static_cast<std::int64_t>(std::max<std::size_t>(1, plan.nodes / limits::lists_above));
}

} // namespace

node_crowd::node_crowd(const crowd_plan& plan) : plan_(plan), draws_(plan.seed) {
  plan_.times.keep = [this](const signed_advert& advert) { return keep(advert); };
  nodes_.reserve(plan.nodes * 2);
  for (std::size_t i = 0; i < plan.nodes; ++i) {
    add_node();
    nodes_[i].villain = i < plan.villains;
  }
}

void node_crowd::add_node() {
  const std::size_t i = nodes_.size();
  nodes_.emplace_back();
  nodes_[i].key = std::make_unique<secret_key>(key_of(plan_.seed, i));
  by_key_[head_of(nodes_[i].key->id())] = i;
}

std::size_t node_crowd::index_of(const node_id& id) const {
  const auto found = by_key_.find(head_of(id));
  return found == by_key_.end() ? nodes_.size() : found->second;
}

node_crowd::core::time_point node_crowd::time() const { return core::time_point{} + 1h + now_; }

std::size_t node_crowd::running_now() const {
  return static_cast<std::size_t>(std::count_if(
      nodes_.begin(), nodes_.end(), [](const node& n) { return n.membership != nullptr; }));
}

void node_crowd::expect(bool right, const std::string& what) {
  if (!right && violations_.size() < violations_max) {
    violations_.push_back(fmt::format("{} s: {}", now_ / 1s, what));
  }
}

void node_crowd::note(std::uint64_t what, std::uint64_t who, std::uint64_t detail) {
  for (const std::uint64_t word : {static_cast<std::uint64_t>(now_.count()), what, who, detail}) {
    digest_ = (digest_ ^ word) * 0x100000001b3U;
    digest_ ^= digest_ >> 29U;
  }
}

void node_crowd::pass(nanoseconds span) {
  const nanoseconds end = now_ + span;
  while (!queue_.empty() && queue_.next_time() <= end) {
    now_ = std::max(now_, queue_.next_time());
    queue_.take()();
  }
  now_ = end;
}

/// Every node checks what it hears. That the same bytes have the same answer is the simulator's
/// gain alone.
bool node_crowd::genuine(const signed_update& update) {
  const auto& proof = std::visit(
      [](const auto& u) -> const auto& { return u.proof; }, update);
  std::uint64_t head = 0;
  std::memcpy(&head, &proof, sizeof head);
  const auto known = checked_.find(head);
  if (known != checked_.end() && known->second == update) {
    return true;
  }
  const bool right = is_genuine(update);
  if (right) {
    checked_.insert_or_assign(head, update);
  }
  return right;
}

kept_advert node_crowd::keep(const signed_advert& advert) {
  kept_advert& kept = kept_[head_of(advert.node) ^ advert.incarnation * 0x9e3779b97f4a7c15U];
  if (kept == nullptr || *kept != advert) {
    kept = std::make_shared<const signed_advert>(advert);
  }
  return kept;
}

void node_crowd::start(std::size_t i) {
  node& n = nodes_[i];
  ++n.life;
  n.gone = 0ns;
  n.started = now_;
  n.incarnation = std::max<std::uint64_t>(
      n.incarnation + 1, static_cast<std::uint64_t>(time().time_since_epoch() / 1ms));
  n.membership = std::make_unique<core>(
      *n.key, advert_of(i), n.incarnation, plan_.times, draws_.next(),
      [](const node_id&) { return std::optional{member_roles}; },
      [this](const signed_update& update) { return genuine(update); });
  at(now_ + draws_.between(0ns, tick_every), [this, i, life = n.life] { tick(i, life); });
  const bool newcomer = now_ > 0ns || !plan_.settled;
  at(now_ + (newcomer ? 0ns : draws_.between(0ns, seed_every * rarer(plan_))),
     [this, i, life = n.life] { knock(i, life); });
  if (plan_.loads && !newcomer) { // each at its turn, as after a long time
    at(now_ + draws_.between(0ns, load_turns(plan_)),
       [this, i, life = n.life] { change_load(i, life); });
  }
  note(1, i, n.incarnation);
  if (newcomer && watch_.came) {
    watch_.came(i);
  }
}

void node_crowd::start_settled() {
  std::vector<kept_advert> all;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    start(i);
    all.push_back(keep(sign_advert(*nodes_[i].key, nodes_[i].incarnation, advert_of(i))));
  }
  for (node& n : nodes_) {
    n.membership->settle_among(all, time());
  }
}

void node_crowd::change_load(std::size_t i, std::uint64_t life) {
  if (nodes_[i].life != life || !running(i)) {
    return;
  }
  node_advert a = nodes_[i].membership->find(nodes_[i].key->id())->advert;
  a.sessions = static_cast<std::uint32_t>(draws_.below(1'000));
  perform(i, nodes_[i].membership->advertise(std::move(a), time()));
  at(now_ + load_every, [this, i, life] { change_load(i, life); });
}

/// Its links break at once, or, when the machine lost its power, nobody hears of it.
void node_crowd::stop(std::size_t i, bool silent) {
  node& n = nodes_[i];
  n.membership.reset();
  ++n.life;
  n.gone = now_;
  if (watch_.went) {
    watch_.went(i);
  }
  n.dialling.clear();
  note(2, i, silent ? 1 : 0);
  for (const std::size_t j : std::set<std::size_t>{n.linked}) {
    if (!silent) {
      end_link(i, j);
    } else {
      at(now_ + silence_ends, [this, i, j, generation = between(i, j).generation] {
        if (between(i, j).generation == generation) {
          end_link(i, j);
        }
      });
    }
  }
}

void node_crowd::leave(std::size_t i) {
  perform(i, nodes_[i].membership->leave(time()));
  stop(i, false);
}

void node_crowd::start_all(nanoseconds within) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    at(draws_.between(0ns, within), [this, i] { start(i); });
  }
}

void node_crowd::churn(bool going_on) {
  churning_ = going_on;
  come_and_go();
}

void node_crowd::come_and_go() {
  if (!churning_) {
    return;
  }
  goings_ += plan_.churn_per_minute * static_cast<double>(plan_.nodes) *
             std::chrono::duration<double, std::ratio<60>>{churn_every}.count();
  for (; goings_ >= 1; goings_ -= 1) {
    std::size_t who = draws_.below(nodes_.size());
    while (!running(who) || nodes_[who].villain || (plan_.silent && who < plan_.seeds)) {
      who = draws_.below(nodes_.size());
    }
    switch (plan_.silent ? 1 : draws_.below(3)) {
    case 0: stop(who, false); break;
    case 1: stop(who, true); break;
    default: leave(who);
    }
    // One of those that are gone comes back, or a new one comes.
    std::vector<std::size_t> gone;
    for (std::size_t j = 0; !plan_.silent && j < nodes_.size(); ++j) {
      if (!running(j) && now_ - nodes_[j].gone > 5s) {
        gone.push_back(j);
      }
    }
    std::size_t comes = nodes_.size();
    if (gone.empty() || draws_.one_in(2)) {
      add_node();
    } else {
      comes = gone[draws_.below(gone.size())];
    }
    for (const std::size_t j : std::set<std::size_t>{nodes_[comes].linked}) {
      end_link(comes, j);
    }
    start(comes);
  }
  at(now_ + churn_every, [this] { come_and_go(); });
}

void node_crowd::divide(bool apart) {
  apart_ = apart;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (const std::size_t j : std::set<std::size_t>{nodes_[i].linked}) {
      if (apart && (i + j) % 2 == 1) {
        end_link(i, j);
      }
    }
  }
}

bool node_crowd::divided(std::size_t i, std::size_t j) const { return apart_ && (i + j) % 2 == 1; }

void node_crowd::tick(std::size_t i, std::uint64_t life) {
  if (nodes_[i].life != life || !running(i)) {
    return;
  }
  perform(i, nodes_[i].membership->on_tick(time()));
  if (nodes_[i].villain) {
    misbehave(i);
  }
  at(now_ + tick_every, [this, i, life] { tick(i, life); });
}

/// As its shell does with seeds: all of them while it knows few, later one now and then.
void node_crowd::knock(std::size_t i, std::uint64_t life) {
  if (nodes_[i].life != life || !running(i)) {
    return;
  }
  const bool few = !nodes_[i].membership->crowded();
  chance mine = chance{plan_.seed}.split(i);
  const std::size_t told = std::min<std::size_t>(plan_.seeds, 3);
  for (std::size_t n = 0; n < told; ++n) {
    const std::size_t seed = mine.below(std::min(plan_.seeds, plan_.nodes));
    if (few || draws_.one_in(told)) {
      connect(i, seed);
    }
  }
  at(now_ + (few ? knock_every : seed_every * rarer(plan_)), [this, i, life] { knock(i, life); });
}

void node_crowd::perform(std::size_t i, const core::effects& effects) {
  nodes_[i].incarnation = nodes_[i].membership->find(nodes_[i].key->id())->incarnation;
  for (const membership_effect& e : effects) {
    if (const auto* s = std::get_if<send_gossip>(&e)) {
      const std::size_t j = index_of(s->to);
      if (j < nodes_.size()) {
        send(i, j, s->bytes);
      }
    } else if (const auto* w = std::get_if<want_link>(&e)) {
      const std::size_t j = index_of(w->to);
      if (j < nodes_.size()) {
        connect(i, j);
      }
    } else if (const auto* p = std::get_if<part_link>(&e)) {
      end_link(i, index_of(p->from));
    } else {
      watch(i, std::get<member_changed>(e));
    }
  }
}

/// Whether an honest node that runs is wronged.
void node_crowd::watch(std::size_t i, const member_changed& change) {
  const std::size_t j = index_of(change.now.node);
  if (j >= nodes_.size()) {
    expect(nodes_[i].villain, "a member that was invented");
    return;
  }
  if (change.health_changed && watch_.sees) {
    watch_.sees(i, j, change.now.health);
  }
  if (change.health_changed && running(j) && !divided(i, j) && !nodes_[j].villain &&
      phase_ != nullptr && change.now.incarnation >= nodes_[j].incarnation) {
    phase_->suspicions += change.now.health == member_health::suspect ? 1 : 0;
    phase_->deaths += change.now.health == member_health::dead ? 1 : 0;
  }
}

node_crowd::wire& node_crowd::between(std::size_t i, std::size_t j) {
  return wires_[std::uint64_t{std::min(i, j)} << 32U | std::max(i, j)];
}

/// 2 to 60 ms, for two nodes always the same.
nanoseconds node_crowd::way(std::size_t i, std::size_t j) const {
  chance pair = chance{plan_.seed}.split(std::min(i, j) << 32U | std::max(i, j));
  return pair.between(2ms, 60ms);
}

void node_crowd::connect(std::size_t i, std::size_t j) {
  if (i == j || nodes_[i].linked.contains(j) || !nodes_[i].dialling.insert(j).second) {
    return;
  }
  at(now_ + round_trips_of_a_link * way(i, j), [this, i, j, life = nodes_[i].life] {
    if (nodes_[i].life != life) {
      return;
    }
    nodes_[i].dialling.erase(j);
    if (running(i) && running(j) && !divided(i, j) && !nodes_[i].linked.contains(j) &&
        has_place(i) && has_place(j)) {
      link_up(i, j);
    }
  });
}

/// For one more link, as `connection_slots` counts them.
bool node_crowd::has_place(std::size_t i) const {
  return nodes_[i].linked.size() < limits::connections_max - limits::shell_places_reserved;
}

void node_crowd::link_up(std::size_t i, std::size_t j) {
  wire& w = between(i, j);
  w.up = true;
  ++w.generation;
  nodes_[i].linked.insert(j);
  nodes_[j].linked.insert(i);
  if (phase_ != nullptr) {
    ++phase_->links;
  }
  nodes_[i].traffic.shaken += handshake_bytes;
  nodes_[j].traffic.shaken += handshake_bytes;
  note(3, i, j);
  perform(i, nodes_[i].membership->on_link_up(nodes_[j].key->id(), time(), true));
  perform(j, nodes_[j].membership->on_link_up(nodes_[i].key->id(), time(), false));
}

/// What is under way still arrives before its end.
void node_crowd::end_link(std::size_t i, std::size_t j) {
  wire& w = between(i, j);
  if (!w.up) {
    return;
  }
  w.up = false;
  nodes_[i].linked.erase(j);
  nodes_[j].linked.erase(i);
  for (const auto& [self, peer] : {std::pair{i, j}, std::pair{j, i}}) {
    const nanoseconds end = std::max(w.last[self < peer ? 1 : 0], now_ + way(i, j));
    at(end, [this, self = self, peer = peer, life = nodes_[self].life, g = w.generation] {
      if (nodes_[self].life == life && running(self) && between(self, peer).generation == g) {
        perform(self, nodes_[self].membership->on_link_down(nodes_[peer].key->id(), time()));
      }
    });
  }
}

void node_crowd::send(std::size_t i, std::size_t j, bytes message) {
  wire& w = between(i, j);
  if (!w.up) {
    return;
  }
  if (phase_ != nullptr) {
    ++phase_->messages;
    phase_->bytes += message.size() + header_bytes;
  }
  nodes_[i].traffic.sent += message.size() + header_bytes;
  nodes_[j].traffic.received += message.size() + header_bytes;
  ++nodes_[i].traffic.messages;
  nanoseconds& last = w.last[i < j ? 0 : 1];
  last = std::max(last, now_ + way(i, j) + draws_.between(0ns, 5ms));
  at(last, [this, i, j, life = nodes_[j].life, g = w.generation, m = std::move(message)] {
    if (nodes_[j].life == life && running(j) && between(i, j).generation == g) {
      deliver(i, j, m);
    }
  });
}

void node_crowd::deliver(std::size_t i, std::size_t j, const bytes& message) {
  note(4, i << 32U | j, message.size());
  const auto effects = nodes_[j].membership->on_gossip(nodes_[i].key->id(), message, time());
  if (effects) {
    perform(j, *effects);
    return;
  }
  expect(nodes_[i].villain, "gossip that was refused: " + effects.error().message);
  end_link(i, j);
}

gossip_message node_crowd::misdeed(std::size_t i) {
  const secret_key& key = *nodes_[i].key;
  gossip_message said{news{}, {}, {}};
  const auto somebody = [&] { return draws_.below(nodes_.size()); };
  switch (plan_.deed) {
  case villainy::none: break;
  case villainy::accuses:
    for (int n = 0; n < 4; ++n) {
      const node& victim = nodes_[somebody()];
      said.updates.emplace_back(sign_suspicion(key, victim.key->id(), victim.incarnation));
    }
    break;
  case villainy::replays: {
    const std::size_t j = somebody();
    if (running(j) && recorded_.size() < 5'000) {
      const member* const m = nodes_[j].membership->find(nodes_[j].key->id());
      recorded_.emplace_back(sign_advert(*nodes_[j].key, m->incarnation, m->advert));
    }
    for (int n = 0; n < 4 && !recorded_.empty(); ++n) {
      said.updates.push_back(recorded_[draws_.below(recorded_.size())]);
    }
    for (const signed_update& u : said.updates) {
      said.counted.push_back({subject_of(u), incarnation_of(u), true});
    }
    break;
  }
  case villainy::invents:
    for (int n = 0; n < 4; ++n) {
      const secret_key ghost = secret_key::from_seed([&] {
        std::array<std::byte, secret_key::seed_size> bytes{};
        draws_.fill(bytes);
        return bytes;
      }());
      said.updates.emplace_back(sign_advert(ghost, 1 + draws_.below(9), {}));
      said.counted.push_back({ghost.id(), incarnation_of(said.updates.back()), true});
    }
    break;
  case villainy::miscounts: {
    summary false_one{draws_.one_in(2), {}, bucket_set{}};
    for (int n = 0; n < 8; ++n) {
      const node& victim = nodes_[somebody()];
      const std::uint64_t incarnation = victim.incarnation + draws_.below(3) * draws_.below(1'000);
      false_one.nodes.push_back({victim.key->id(), incarnation, draws_.one_in(2)});
      false_one.buckets.set(bucket_of(victim.key->id()));
      said.counted.push_back({victim.key->id(), incarnation, true});
    }
    said.body = false_one;
    if (draws_.one_in(20)) {
      said.body = digests{draws_.next(), std::vector<std::uint32_t>(limits::gossip_buckets, 7)};
    }
    break;
  }
  }
  return said;
}

/// To all it is linked with, and it wants to be heard by many.
void node_crowd::misbehave(std::size_t i) {
  const bytes message = encode_gossip(misdeed(i));
  for (const std::size_t j : std::set<std::size_t>{nodes_[i].linked}) {
    send(i, j, message);
  }
  connect(i, draws_.below(nodes_.size()));
}

} // namespace ovir::swarm
