#include "actors/members/membership_core.hpp"

#include "actors/members/crowd_vouchers.hpp"
#include "actors/members/member_crowd.hpp"
#include "actors/members/member_latest.hpp"
#include "actors/members/member_probes.hpp"
#include "actors/members/member_updates.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

/// Probe intervals between full exchanges with someone.
constexpr std::uint32_t mesh_exchange_intervals = 20;

} // namespace

membership_core::membership_core(const secret_key& key, node_advert self, std::uint64_t incarnation,
                                 membership_options options, std::uint64_t seed,
                                 std::function<std::optional<role_set>(const node_id&)> allowed,
                                 std::function<bool(const signed_update&)> genuine)
    : s_(key, std::move(self), incarnation, options, seed, std::move(allowed), std::move(genuine)) {
}

void membership_core::settle_among(std::span<const kept_advert> others, time_point now) {
  for (const kept_advert& a : others) {
    if (a->node == s_.self.node) {
      continue;
    }
    member_entry e;
    e.where = member_standing::alive;
    e.was_member = true;
    e.shown = {a->node, a->incarnation, a, member_health::alive};
    e.newest = a;
    e.probed = e.since = e.death = e.contact = now;
    s_.add(a->node, std::move(e));
  }
  follow_size(s_, now);
  s_.crowd.met = static_cast<std::uint32_t>(others.size());
  s_.crowd.latest.walked = limits::gossip_buckets;
  s_.crowd.latest.learns_until = now;
  s_.crowd.fresh.clear();
  const auto within = [&](std::chrono::milliseconds most) {
    return now +
           std::chrono::milliseconds{s_.random() % static_cast<std::uint64_t>(most.count() + 1)};
  };
  s_.crowd.next_look = within(s_.thinned(limits::look_intervals));
  s_.crowd.next_exchange = within(s_.thinned(limits::exchange_intervals));
  s_.crowd.latest.next = within(s_.intervals(limits::latest_intervals));
}

membership_core::effects membership_core::on_tick(time_point now) {
  effects out;
  if (s_.goodbye) {
    return out;
  }
  const bool first = !s_.last_event || s_.next_probe == time_point{};
  s_.advance(now);
  if (first) {
    // Nodes started together do not all probe at the same moment.
    const auto interval = std::chrono::nanoseconds{s_.options.probe_interval}.count();
    s_.next_probe =
        now + std::chrono::nanoseconds{s_.random() % static_cast<std::uint64_t>(interval + 1)};
    s_.next_exchange = now + mesh_exchange_intervals * s_.options.probe_interval;
  }
  follow_size(s_, now);
  s_.refute_if_due(now, out);
  if (s_.crowded()) {
    crowd_tick(s_, now, out);
    return out;
  }
  check_probes(s_, now, out);
  probe_suspects(s_, now, out);
  if (now >= s_.next_probe) {
    // Missed ones are not made up for.
    s_.next_probe = std::max(s_.next_probe + s_.options.probe_interval, now);
    check_allowed(s_, now, out);
    forget_old_members(s_, now);
    probe_next(s_, now, out);
    spread_news(s_, out);
  }
  if (now >= s_.next_exchange) {
    s_.next_exchange = now + mesh_exchange_intervals * s_.options.probe_interval;
    exchange_summaries(s_, out);
  }
  look_for_members(s_, now, out);
  return out;
}

membership_core::effects membership_core::on_link_up(const node_id& peer, time_point now, bool ours,
                                                     const address_prefix& seen) {
  s_.advance(now);
  effects out;
  gossip_link* l = s_.link_of(peer);
  if (s_.goodbye || l == nullptr || !s_.allowed(peer)) {
    return out;
  }
  l->up = true;
  l->forged = false;
  l->parted = false;
  l->left = false;
  l->ours = ours;
  l->used = now;
  l->site = site_of(seen);
  s_.told.strangers.seen_at(peer, l->site);
  if (s_.crowded()) {
    crowd_link_up(s_, peer, now, out);
  }
  if (member_entry* e = s_.look_up(peer)) {
    // A handshake just now is a sign of life.
    s_.found_alive(*e, now, out);
  }
  if (!s_.crowded() && s_.entries.size() <= 2 * s_.options.full_mesh_max) {
    s_.send_summary(peer, false, bucket_set{}.set(), out, {s_.own});
  } else if (!s_.crowded()) { // it is among many who do not want a list of what it knows
    s_.send(peer, summary{false, {{s_.self.node, s_.own.incarnation, true}}}, out, {s_.own});
  }
  return out;
}

void membership_core::on_link_used(const node_id& peer, time_point now) {
  if (const auto l = s_.links.find(peer); l != s_.links.end()) {
    l->second.used = now;
    l->second.up = l->second.up || l->second.ours;
  }
}

membership_core::effects membership_core::on_link_down(const node_id& peer, time_point now) {
  s_.advance(now);
  effects out;
  const auto l = s_.links.find(peer);
  const bool parted = l != s_.links.end() && l->second.parted;
  if (l != s_.links.end()) {
    s_.links.erase(l);
  }
  member_entry* e = s_.look_up(peer);
  if (s_.goodbye || e == nullptr || parted) {
    return out;
  }
  if (s_.crowded()) {
    crowd_link_lost(s_, *e, now, out);
    return out;
  }
  // Answers to earlier questions may still lie in some buffer.
  e->open.reset();
  s_.look_for_soon(*e, now);
  if (e->where == member_standing::alive) {
    s_.make_suspect(*e, now, out);
  }
  if (e->where == member_standing::suspect) {
    begin_probe(s_, *e, true, now, out);
  }
  return out;
}

membership_core::effects membership_core::advertise(node_advert self, time_point now) {
  s_.advance(now);
  effects out;
  if (s_.goodbye) {
    return out;
  }
  if (s_.crowded() && !may_advertise(s_, self, now)) {
    s_.self.advert = std::move(self);
    s_.crowd.advert_waits = true;
    return out;
  }
  s_.raise(std::move(self), now, out);
  return out;
}

membership_core::effects membership_core::leave(time_point now) {
  s_.advance(now);
  effects out;
  if (s_.goodbye) {
    return out;
  }
  s_.goodbye = sign_farewell(s_.key, s_.own.incarnation + 1);
  s_.self.incarnation = s_.goodbye->incarnation;
  s_.self.health = member_health::left;
  for (const auto& [peer, l] : s_.links) {
    if (l.up) {
      s_.send_all(peer, news{}, {*s_.goodbye}, out);
    }
  }
  return out;
}

std::vector<member> membership_core::members() const {
  std::vector<member> out;
  out.reserve(s_.entries.size() + 1);
  for (const auto& [node, e] : s_.entries) {
    if (e.was_member) {
      out.push_back(e.to_member());
    }
  }
  const auto place = std::find_if(out.begin(), out.end(),
                                  [this](const member& m) { return m.node > s_.self.node; });
  out.insert(place, s_.self);
  return out;
}

const member* membership_core::find(const node_id& node) const {
  if (node == s_.self.node) {
    return &s_.self;
  }
  member_entry* const e = s_.look_up(node);
  if (e == nullptr || !e->was_member) {
    return nullptr;
  }
  if (e->view == nullptr) {
    e->view = std::make_unique<member>();
  }
  *e->view = e->to_member();
  return e->view.get();
}

std::optional<member_health> membership_core::health(const node_id& node) const {
  if (node == s_.self.node) {
    return s_.self.health;
  }
  const member_entry* const e = s_.look_up(node);
  return e != nullptr && e->was_member ? std::optional{e->shown.health} : std::nullopt;
}

std::vector<node_id> membership_core::drawn() const {
  std::vector<node_id> out;
  for (const auto& [node, since] : s_.crowd.drawn) {
    out.push_back(node);
  }
  return out;
}

const node_id& membership_core::self() const noexcept { return s_.self.node; }

result<membership_core::effects>
membership_core::on_gossip(const node_id& from, std::span<const std::byte> bytes, time_point now) {
  s_.advance(now);
  effects out;
  gossip_link* by = s_.link_of(from);
  if (s_.goodbye || by == nullptr || !s_.allowed(from)) {
    return out;
  }
  if (by->forged) {
    return fail(errc::malformed,
                "gossip of {}: it passed on an update with a false signature, "
                "which honest nodes check; drop the peer",
                short_name(from));
  }
  if (!by->traffic.has(1, now)) {
    return fail(errc::over_limit,
                "gossip of {}: more than {} messages and signatures at once or {} each {} ms; drop "
                "the peer",
                short_name(from), limits::gossip_allowance, limits::gossip_refill,
                s_.options.probe_interval.count());
  }
  OVIR_ASSIGN(const gossip_message message, decode_gossip(bytes));
  by->traffic.spend(cost_of(message.body), now);
  if (by->left && !std::holds_alternative<parting>(message.body)) {
    // The words of its parting came late: there is a link that it opened since.
    by->left = by->parted = false;
    by->up = true;
  }
  for (const signed_update& u : message.updates) {
    apply_update(s_, u, from, *by, now, out);
    if (by->forged) {
      return out;
    }
  }
  if (std::holds_alternative<latest_answer>(message.body)) {
    note_answered(s_, message.updates, now);
  }
  member_entry* e = s_.look_up(from);
  if (e != nullptr && e->where == member_standing::heard_of) {
    s_.found_alive(*e, now, out);
  }
  for (const known_node& k : message.counted) {
    hear_counted(s_, k, from, now, out);
  }
  receive_gossip(s_, message.body, from, now, out);
  return out;
}

} // namespace ovir::actors
