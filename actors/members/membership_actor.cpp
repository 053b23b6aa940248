#include "actors/members/membership_actor.hpp"

#include "messages/caf/system_config.hpp"
#include "messages/limits/invitations.hpp"
#include "messages/limits/links.hpp"
#include "messages/limits/nat.hpp"

#include <caf/all.hpp>

#include <algorithm>

namespace ovir::actors {

namespace {

/// The core wants to be asked often: its time-outs are as fine as this.
constexpr std::chrono::milliseconds tick_interval{100};
/// Ticks between two looks at the links, with a knock at the seeds that are not there.
constexpr std::uint32_t link_ticks = 5;

membership_core::time_point now(membership_pointer self) {
  return self->state.environment.env->now();
}

std::string_view word(member_health health) {
  switch (health) {
  case member_health::alive: return "alive";
  case member_health::suspect: return "suspect";
  case member_health::dead: return "dead";
  case member_health::left: return "gone";
  }
  return "unknown";
}

/// In a crowd: of those that can be linked.
peers::address_book addresses_of(const membership_state& state) {
  if (!state.core->crowded()) {
    return nullptr;
  }
  std::map<node_id, std::string> all;
  for (const member& m : *state.view) {
    if (m.health == member_health::alive && !m.advert.address.empty() &&
        m.node != state.core->self()) {
      all.emplace_hint(all.end(), m.node, m.advert.address);
    }
  }
  return std::make_shared<const std::map<node_id, std::string>>(std::move(all));
}

void publish(membership_pointer self) {
  membership_state& state = self->state;
  state.changed = false;
  state.view = std::make_shared<const std::vector<member>>(state.core->members());
  state.environment.links->use(addresses_of(state));
  for (const caf::actor& watcher : state.environment.watchers()) {
    self->send(watcher, members_changed{state.view});
  }
}

/// Of invitations, and in an open cluster of all that have leave. Honest members pass on only what
/// they checked. Their word counts for when a guest came: a node that joins later has to know the
/// guests of invitations that ended meanwhile.
void take_notices(membership_pointer self, const heard_notices& heard) {
  const membership_environment& around = self->state.environment;
  for (const std::vector<std::byte>& token : heard.tokens) {
    const auto shown = shown_token_from_bytes(token);
    const bool plain = shown && !shown->by && !is_revocation(*shown);
    if (plain && !around.access->is_told(*shown)) {
      continue; // of use in an open cluster, which this node's is not
    }
    const result<void> counts =
        shown ? around.access->show(token, plain ? around.env->unix_seconds() : 0)
              : fail(errc::malformed, "the notice is no token");
    if (counts) {
      continue;
    }
    around.journal->say(log_level::debug, std::nullopt, "{} tells of an invitation in vain: {}",
                        short_name(heard.from), counts.error().message);
    if (counts.error().code == errc::malformed || counts.error().code == errc::invalid_argument) {
      around.journal->say(log_level::warn, std::nullopt,
                          "{} tells of a token that does not count: {}", short_name(heard.from),
                          counts.error().message);
      return around.links->disconnect(heard.from, counts.error());
    }
  }
}

void perform(membership_pointer self, membership_core::effects effects) {
  membership_state& state = self->state;
  membership_environment& around = state.environment;
  bool changed = false;
  for (membership_effect& effect : effects) {
    if (auto* gossip = std::get_if<send_gossip>(&effect)) {
      around.links->send_gossip(gossip->to, std::move(gossip->bytes));
    } else if (const auto* want = std::get_if<want_link>(&effect)) {
      if (!want->address.empty() && !state.left) {
        around.links->connect(want->address, want->to);
      }
    } else if (const auto* idle = std::get_if<part_link>(&effect)) {
      if (!around.links->part(idle->from)) {
        state.core->on_link_used(idle->from, now(self));
      }
    } else if (const auto* heard = std::get_if<heard_notices>(&effect)) {
      take_notices(self, *heard);
    } else if (const auto* news = std::get_if<member_changed>(&effect)) {
      changed = true;
      if (news->health_changed) {
        around.journal->say(state.core->crowded() ? log_level::debug : log_level::info,
                            std::nullopt, "{} ({}) is {}", news->now.advert.name,
                            short_name(news->now.node), word(news->now.health));
      }
    }
  }
  state.changed = state.changed || changed;
  if (changed && !state.core->crowded()) {
    publish(self);
  }
}

// The core does not tell of round trips; one that changed by an eighth is news for planning.
bool round_trips_changed(const std::vector<member>& known, const std::vector<member>& now) {
  return !std::equal(known.begin(), known.end(), now.begin(), now.end(),
                     [](const member& a, const member& b) {
                       const auto gap = a.rtt && b.rtt ? std::chrono::abs(*a.rtt - *b.rtt)
                                                       : std::chrono::microseconds{0};
                       return a.node == b.node && a.rtt.has_value() == b.rtt.has_value() &&
                              (!a.rtt || gap <= *a.rtt / 8);
                     });
}

/// A link that is new, or longer or shorter than was told by an eighth, and by a millisecond.
bool worth_telling(const std::vector<measured_rtt>& told, const std::vector<measured_rtt>& now) {
  constexpr std::uint32_t least = 1'000;
  return std::any_of(now.begin(), now.end(), [&](const measured_rtt& one) {
    const auto known = std::find_if(told.begin(), told.end(),
                                    [&](const measured_rtt& t) { return t.node == one.node; });
    if (known == told.end()) {
      return true;
    }
    const auto [less, more] = std::minmax(known->microseconds, one.microseconds);
    return more - less >= least && more - less > less / 8;
  });
}

/// To those that are linked, what they were not told over this link.
void tell_notices(membership_pointer self) {
  membership_state& state = self->state;
  const membership_environment& around = state.environment;
  for (const member& m : *state.view) {
    if (m.node == state.core->self() || !around.links->connected(m.node)) {
      continue;
    }
    auto tokens = around.access->notices(state.notices_told[m.node], limits::notices_max);
    if (!tokens.empty()) {
      around.links->send_gossip(m.node, encode_gossip({notices{std::move(tokens)}, {}}));
    }
  }
}

void look_after_links(membership_pointer self) {
  membership_state& state = self->state;
  peers& links = *state.environment.links;
  links.tend();
  for (const node_id& used : links.take_used()) {
    state.core->on_link_used(used, now(self));
  }
  const std::vector<std::string>& seeds = state.environment.seeds;
  const std::size_t round = state.ticks / link_ticks;
  // Thousands would take all places of a seed.
  const std::size_t knocks =
      limits::seed_knocks * std::max<std::size_t>(1, state.view->size() / limits::lists_above);
  for (std::size_t i = 0; i < seeds.size(); ++i) {
    const std::string& seed = seeds[i];
    const bool due =
        !state.core->crowded() || (round % knocks == 0 && round / knocks % seeds.size() == i);
    if (due && !links.reached(seed)) {
      links.connect(seed, {});
    }
  }
}

void advertise(membership_pointer self, node_advert advert) {
  if (!self->state.left) {
    perform(self, self->state.core->advertise(std::move(advert), now(self)));
    publish(self); // the core tells of others only
  }
}

node_advert own_advert(membership_pointer self) {
  const member* own = self->state.core->find(self->state.core->self());
  return own != nullptr ? own->advert : self->state.environment.advert;
}

/// Tells the other members the round trips that this node measured: they plan with what both ends
/// of a link say. One through a relay counts as longer than it is, because it carries less and a
/// third node is paid for it. In a crowd no node does, because adverts would grow with the number
/// of links.
void tell_round_trips(membership_pointer self) {
  membership_state& state = self->state;
  const auto due = state.rtts_told + limits::rtts_told_every;
  if (state.core->crowded() || state.left || now(self) < due) {
    return;
  }
  node_advert advert = own_advert(self);
  std::vector<measured_rtt> measured;
  for (const member& m : state.core->members()) {
    if (m.rtt && m.health == member_health::alive && measured.size() < limits::advert_rtts_max) {
      const bool relayed = state.environment.is_relayed && state.environment.is_relayed(m.node);
      const auto told = *m.rtt + (relayed ? limits::relay_toll : limits::no_toll);
      measured.push_back({m.node, static_cast<std::uint32_t>(told.count())});
    }
  }
  if (worth_telling(advert.rtts, measured)) {
    state.rtts_told = now(self);
    advert.rtts = std::move(measured);
    advertise(self, std::move(advert));
  }
}

void tick(membership_pointer self) {
  membership_state& state = self->state;
  if (!state.left) {
    if (state.ticks++ % link_ticks == 0) {
      look_after_links(self);
      tell_notices(self);
      tell_round_trips(self);
      if (state.changed || round_trips_changed(*state.view, state.core->members())) {
        publish(self);
      }
    }
    perform(self, state.core->on_tick(now(self)));
  }
  self->delayed_send(self, tick_interval, membership_tick{});
}

void take_gossip(membership_pointer self, const gossip_received& gossip) {
  auto effects = self->state.core->on_gossip(gossip.from, *gossip.bytes, now(self));
  if (!effects) {
    self->state.environment.journal->say(log_level::warn, std::nullopt,
                                         "{} sent what is no gossip: {}", short_name(gossip.from),
                                         effects.error().message);
    self->state.environment.links->close(gossip.connection, effects.error());
    return;
  }
  perform(self, std::move(*effects));
}

// Worth telling the others: a sixteenth more or less. 0 says nothing.
bool other_speed(std::uint64_t known, std::uint64_t now) {
  const std::uint64_t gap = known > now ? known - now : now - known;
  return now > 0 && gap > known / 16;
}

// Small changes of load are not worth a new incarnation.
void take_load(membership_pointer self, const load_changed& load) {
  node_advert advert = own_advert(self);
  const auto gap = advert.memory_free > load.memory_free ? advert.memory_free - load.memory_free
                                                         : load.memory_free - advert.memory_free;
  const bool decode = other_speed(advert.decode_bytes_per_second, load.decode_bytes_per_second);
  const bool prefill = other_speed(advert.prefill_bytes_per_second, load.prefill_bytes_per_second);
  if (advert.sessions == load.sessions && gap <= advert.memory_bytes / 64 && !decode && !prefill) {
    return;
  }
  if (decode) {
    advert.decode_bytes_per_second = load.decode_bytes_per_second;
  }
  if (prefill) {
    advert.prefill_bytes_per_second = load.prefill_bytes_per_second;
  }
  advert.sessions = load.sessions;
  advert.memory_free = load.memory_free;
  advertise(self, std::move(advert));
}

} // namespace

caf::behavior membership_behavior(membership_pointer self, membership_environment environment) {
  make_quiet(self);
  membership_state& state = self->state;
  state.environment = std::move(environment);
  const membership_environment& around = state.environment;
  state.environment.options.stranger = [access = around.access](const node_id& node) {
    return access->is_stranger(node);
  };
  std::array<std::uint64_t, 1> seed{};
  around.env->random(std::as_writable_bytes(std::span{seed}));
  state.core.emplace(
      *around.key, around.advert, around.incarnation, around.options, seed[0],
      [access = around.access](const node_id& node) { return access->worth_hearing_of(node); });
  publish(self);
  self->send(self, membership_tick{});
  return {
      [self](const membership_tick&) { tick(self); },
      [self](const link_changed& link) {
        auto& core = *self->state.core;
        self->state.notices_told.erase(link.node);
        perform(self, link.up ? core.on_link_up(link.node, now(self), link.ours, link.from)
                              : core.on_link_down(link.node, now(self)));
      },
      [self](const gossip_received& gossip) { take_gossip(self, gossip); },
      [self](const load_changed& load) { take_load(self, load); },
      [self](const advert_changed& change) {
        node_advert advert = own_advert(self);
        change.edit(advert);
        advertise(self, std::move(advert));
      },
      [self](const leave_cluster&) {
        perform(self, self->state.core->leave(now(self)));
        self->state.left = true;
        return true;
      },
      [self](const list_members&) { return members_changed{self->state.view}; },
  };
}

} // namespace ovir::actors
