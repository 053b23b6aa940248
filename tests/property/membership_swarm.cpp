#include "tests/property/membership_swarm.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

constexpr milliseconds tick_interval{25};

/// What one tick may send: probes of suspects, one of the round, those that time out (each to three
/// helpers), news and an exchange.
std::size_t sends_per_tick_max(std::size_t nodes) {
  return limits::probes_per_tick_max * 4 + limits::gossip_fanout + 6 + 4 * nodes;
}

} // namespace

secret_key swarm_key(std::uint64_t index) {
  std::array<std::byte, secret_key::seed_size> seed{};
  for (std::size_t i = 0; i < 8; ++i) {
    seed[i] = static_cast<std::byte>((index >> (8 * i)) & 0xffU);
  }
  seed[31] = std::byte{0x77};
  return secret_key::from_seed(seed);
}

membership_swarm::membership_swarm(std::uint64_t seed, std::size_t nodes) : random_(seed) {
  nodes_.resize(nodes);
  for (std::size_t i = 0; i < nodes; ++i) {
    nodes_[i].key = std::make_unique<secret_key>(swarm_key(random_()));
  }
}

node_advert membership_swarm::fresh_advert(std::size_t i) {
  node_advert a;
  a.name = fmt::format("node-{}", i);
  a.address = fmt::format("n{}:1", i);
  a.roles.add(role::worker);
  a.memory_free = ++adverts_;
  a.held.push_back({digest{}, {0, 8}, 8});
  return a;
}

membership_swarm::wire& membership_swarm::between(std::size_t i, std::size_t j) {
  return wires_[{std::min(i, j), std::max(i, j)}];
}

std::size_t membership_swarm::index_of(const node_id& id) const {
  const auto it = std::find_if(nodes_.begin(), nodes_.end(),
                               [&id](const node& n) { return n.key->id() == id; });
  return static_cast<std::size_t>(it - nodes_.begin());
}

bool membership_swarm::linked(std::size_t i, std::size_t j) const {
  const auto it = wires_.find({std::min(i, j), std::max(i, j)});
  return it != wires_.end() && it->second.up;
}

milliseconds membership_swarm::delay() {
  // Mostly near, sometimes a lot slower.
  return milliseconds{random_() % 16 == 0 ? 20 + random_() % 40 : 1 + random_() % 10};
}

void membership_swarm::at(time_point when, std::function<void()> act) {
  events_.push({when, number_++, std::move(act)});
}

void membership_swarm::on_node(std::size_t i, std::uint64_t life,
                               const std::function<void()>& act) {
  node& n = nodes_[i];
  if (n.life != life || (!n.core && !n.possessed)) {
    return;
  }
  if (n.frozen) {
    n.backlog.push_back([this, i, life, act] { on_node(i, life, act); });
  } else {
    act();
  }
}

void membership_swarm::run(milliseconds span) {
  const time_point end = now_ + span;
  while (!events_.empty() && events_.top().at <= end) {
    const event next = events_.top();
    events_.pop();
    now_ = std::max(now_, next.at);
    next.act();
  }
  now_ = end;
}

void membership_swarm::start(std::size_t i) {
  node& n = nodes_[i];
  n.life += 1;
  n.left = false;
  n.frozen = false;
  n.backlog.clear();
  n.buried.clear();
  // A wall clock's milliseconds, and in any case more than ever before.
  n.incarnation =
      std::max(n.incarnation + 1,
               static_cast<std::uint64_t>(
                   std::chrono::duration_cast<milliseconds>(now_.time_since_epoch()).count()));
  std::set<node_id> known;
  for (const node& other : nodes_) {
    known.insert(other.key->id());
  }
  const auto allowed = [known,
                        anyone = strangers_allowed_](const node_id& id) -> std::optional<role_set> {
    return anyone || known.count(id) == 1 ? std::optional{member_roles} : std::nullopt;
  };
  n.core = std::make_unique<membership_core>(*n.key, fresh_advert(i), n.incarnation,
                                             membership_options{}, random_(), allowed);
  const std::uint64_t life = n.life;
  at(now_ + milliseconds{random_() % 25}, [this, i, life] { tick(i, life); });
  at(now_ + delay(), [this, i, life] { join(i, life); });
}

void membership_swarm::tick(std::size_t i, std::uint64_t life) {
  if (nodes_[i].life != life || (!nodes_[i].core && !nodes_[i].possessed)) {
    return;
  }
  if (nodes_[i].possessed) {
    nodes_[i].hostile(i, {});
  } else if (!nodes_[i].frozen) {
    perform(i, nodes_[i].core->on_tick(now_), true);
  }
  at(now_ + tick_interval, [this, i, life] { tick(i, life); });
}

/// As a shell does with its seeds: connects to some of them while it has no link.
void membership_swarm::join(std::size_t i, std::uint64_t life) {
  if (nodes_[i].life != life || (!nodes_[i].core && !nodes_[i].possessed)) {
    return;
  }
  bool alone = true;
  for (std::size_t j = 0; j < nodes_.size(); ++j) {
    alone = alone && (i == j || !linked(i, j));
  }
  if ((alone || nodes_[i].possessed) && !nodes_[i].left) {
    for (std::size_t j = 0; j < nodes_.size(); ++j) {
      if (j != i && (j < 2 || nodes_[i].possessed)) {
        connect(i, j);
      }
    }
  }
  at(now_ + milliseconds{1000}, [this, i, life] { join(i, life); });
}

void membership_swarm::connect(std::size_t i, std::size_t j) {
  wire& w = between(i, j);
  ++attempts_;
  if (w.up || w.connecting) {
    return;
  }
  w.connecting = true;
  at(now_ + delay() + delay(), [this, i, j] {
    wire& made = between(i, j);
    made.connecting = false;
    const auto there = [this](std::size_t k) {
      return (nodes_[k].core || nodes_[k].possessed) && !nodes_[k].frozen && !nodes_[k].left;
    };
    if (made.up || made.cut_now || !there(i) || !there(j)) {
      return;
    }
    made.up = true;
    made.generation += 1;
    for (const auto& [self, peer] : {std::pair{i, j}, std::pair{j, i}}) {
      if (!nodes_[self].possessed) {
        perform(self, nodes_[self].core->on_link_up(id(peer), now_), false);
      }
    }
  });
}

void membership_swarm::tell_link_down(std::size_t i, std::size_t j) {
  const std::uint64_t life = nodes_[i].life;
  const std::uint64_t generation = between(i, j).generation;
  at(now_ + delay(), [this, i, j, life, generation] {
    on_node(i, life, [this, i, j, generation] {
      // A shell tells of the end of the link there is, not of one long replaced.
      if (between(i, j).generation == generation && !nodes_[i].possessed) {
        perform(i, nodes_[i].core->on_link_down(id(j), now_), false);
      }
    });
  });
}

void membership_swarm::end_link(std::size_t i, std::size_t j) {
  wire& w = between(i, j);
  if (w.up) {
    w.up = false;
    w.held.clear();
    tell_link_down(i, j);
    tell_link_down(j, i);
  }
}

void membership_swarm::break_link(std::size_t i, std::size_t j) { end_link(i, j); }

void membership_swarm::kill(std::size_t i) {
  nodes_[i].core.reset();
  nodes_[i].life += 1;
  nodes_[i].frozen = false;
  nodes_[i].backlog.clear();
  for (std::size_t j = 0; j < nodes_.size(); ++j) {
    if (j != i) {
      end_link(i, j);
    }
  }
}

void membership_swarm::power_off(std::size_t i) {
  nodes_[i].core.reset();
  nodes_[i].life += 1;
  nodes_[i].frozen = false;
  nodes_[i].backlog.clear();
}

void membership_swarm::freeze(std::size_t i) { nodes_[i].frozen = true; }

void membership_swarm::thaw(std::size_t i) {
  nodes_[i].frozen = false;
  for (const auto& act : std::exchange(nodes_[i].backlog, {})) {
    act();
  }
}

void membership_swarm::leave(std::size_t i) {
  perform(i, nodes_[i].core->leave(now_), false);
  nodes_[i].left = true;
  const std::uint64_t life = nodes_[i].life;
  at(now_ + milliseconds{100}, [this, i, life] {
    if (nodes_[i].life == life) {
      kill(i);
    }
  });
}

void membership_swarm::advertise(std::size_t i) {
  perform(i, nodes_[i].core->advertise(fresh_advert(i), now_), false);
}

void membership_swarm::partition(const std::set<std::size_t>& side, cut kind) {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = i + 1; j < nodes_.size(); ++j) {
      if (side.count(i) != side.count(j)) {
        between(i, j).cut_now = kind;
        if (kind == cut::broken) {
          end_link(i, j);
        }
      }
    }
  }
}

void membership_swarm::cut_pair(std::size_t i, std::size_t j) {
  between(i, j).cut_now = cut::broken;
  end_link(i, j);
}

void membership_swarm::heal() {
  for (auto& [ends, w] : wires_) {
    w.cut_now.reset();
    for (const auto& act : std::exchange(w.held, {})) {
      act();
    }
  }
}

void membership_swarm::possess(std::size_t i, mind m) {
  nodes_[i].core.reset();
  nodes_[i].life += 1;
  nodes_[i].possessed = true;
  nodes_[i].hostile = std::move(m);
  const std::uint64_t life = nodes_[i].life;
  at(now_, [this, i, life] { tick(i, life); });
  at(now_, [this, i, life] { join(i, life); });
}

void membership_swarm::send(std::size_t from, std::size_t to, std::vector<std::byte> bytes) {
  wire& w = between(from, to);
  if (!w.up) {
    return;
  }
  const std::uint64_t generation = w.generation;
  const std::uint64_t life = nodes_[to].life;
  const auto arrive = [this, from, to, generation, life, bytes = std::move(bytes)] {
    on_node(to, life, [this, from, to, generation, bytes] {
      if (between(from, to).generation == generation && between(from, to).up) {
        deliver(from, to, bytes);
      }
    });
  };
  const auto dispatch = [this, from, to, arrive] {
    time_point& last = between(from, to).last[from < to ? 0 : 1];
    last = std::max(last, now_ + delay());
    at(last, arrive);
  };
  if (w.cut_now) {
    w.held.push_back(dispatch);
  } else {
    dispatch();
  }
}

void membership_swarm::deliver(std::size_t from, std::size_t to,
                               const std::vector<std::byte>& bytes) {
  if (nodes_[to].possessed) {
    nodes_[to].hostile(from, bytes);
    return;
  }
  const auto effects = nodes_[to].core->on_gossip(id(from), bytes, now_);
  if (effects) {
    perform(to, *effects, false);
    return;
  }
  ++refused_;
  if (honest(from)) {
    violations_.push_back("honest gossip refused: " + effects.error().message);
  }
  end_link(from, to);
}

void membership_swarm::perform(std::size_t i, const membership_core::effects& effects,
                               bool of_tick) {
  // As its state folder keeps it.
  nodes_[i].incarnation = nodes_[i].core->find(id(i))->incarnation;
  std::size_t sends = 0;
  for (const membership_effect& e : effects) {
    if (const auto* s = std::get_if<send_gossip>(&e)) {
      ++sends;
      ++sent_;
      if (s->bytes.size() > limits::gossip_bytes_max) {
        violations_.push_back(fmt::format("a message of {} bytes", s->bytes.size()));
      }
      const std::size_t to = index_of(s->to);
      if (to < nodes_.size() && to != i) {
        send(i, to, s->bytes);
      }
    } else if (const auto* w = std::get_if<want_link>(&e)) {
      const std::size_t to = index_of(w->to);
      if (to >= nodes_.size() && strangers_allowed_) {
        ++stranger_dials_;
      } else if (to >= nodes_.size() || w->address != fmt::format("n{}:1", to)) {
        violations_.push_back("a link wanted to " + w->address);
      } else {
        connect(i, to);
      }
    } else {
      watch(i, std::get<member_changed>(e));
    }
  }
  if (of_tick && sends > sends_per_tick_max(nodes_.size())) {
    violations_.push_back(fmt::format("{} messages at one tick", sends));
  }
}

void membership_swarm::watch(std::size_t i, const member_changed& change) {
  const member& m = change.now;
  const std::size_t j = index_of(m.node);
  if (j == nodes_.size() || j == i) {
    violations_.push_back("a change of a node there is not");
    return;
  }
  const bool gone = m.health == member_health::dead || m.health == member_health::left;
  auto& buried = nodes_[i].buried;
  if (gone) {
    buried[m.node] = std::max(buried[m.node], m.incarnation);
  } else if (buried.count(m.node) == 1 && m.incarnation <= buried[m.node]) {
    violations_.push_back(fmt::format("node {} saw the ghost of {}", i, j));
  }
  if (m.incarnation > nodes_[j].incarnation && !nodes_[j].possessed) {
    violations_.push_back(fmt::format("node {} believes an incarnation {} never had", i, j));
  }
  if (change.health_changed && honest(i) && honest(j)) {
    seen_[m.health] += 1;
  }
}

std::size_t membership_swarm::seen(member_health health) const {
  const auto it = seen_.find(health);
  return it == seen_.end() ? 0 : it->second;
}

std::optional<member_health> membership_swarm::health(std::size_t i, std::size_t j) const {
  const member* m = nodes_[i].core->find(id(j));
  return m == nullptr ? std::nullopt : std::optional{m->health};
}

bool membership_swarm::everyone_sees(std::size_t j, member_health wanted) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (i != j && running(i) && honest(i) && health(i, j) != wanted) {
      return false;
    }
  }
  return true;
}

std::string membership_swarm::disagreement() const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (std::size_t j = 0; j < nodes_.size() && running(i) && honest(i); ++j) {
      if (!honest(j) || i == j) {
        continue;
      }
      const member* m = core(i).find(id(j));
      const bool alive = m != nullptr && m->health == member_health::alive;
      if (alive != running(j)) {
        return fmt::format("node {} holds {} for {}, which {}", i, j,
                           m == nullptr ? 0 : static_cast<int>(m->health),
                           running(j) ? "runs" : "does not run");
      }
      const member* truth = running(j) ? core(j).find(id(j)) : nullptr;
      if (truth != nullptr &&
          (m->incarnation != truth->incarnation || m->advert != truth->advert)) {
        return fmt::format("node {} has incarnation {} of {}, which is at {}", i, m->incarnation, j,
                           truth->incarnation);
      }
    }
  }
  return {};
}

} // namespace ovir::actors
