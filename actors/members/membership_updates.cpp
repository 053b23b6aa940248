#include "actors/members/membership_core.hpp"

#include <algorithm>
#include <utility>

// What membership makes of gossip: each update is compared with what is known, and only where it
// would change something its signature is checked.
namespace ovir::actors {

namespace {

// What a message costs a peer of its allowance, beside one for itself and one per signature: what
// it makes us send or compute.
constexpr std::uint32_t summary_cost = 8;
constexpr std::uint32_t relayed_cost = 2;

std::uint32_t cost_of(const gossip_body& body) {
  if (std::holds_alternative<summary>(body)) {
    return summary_cost;
  }
  const bool relayed = std::holds_alternative<probe_order>(body) ||
                       std::holds_alternative<relayed_ping>(body) ||
                       std::holds_alternative<life_sign>(body);
  return relayed ? relayed_cost : 1;
}

} // namespace

result<membership_core::effects>
membership_core::on_gossip(const node_id& from, std::span<const std::byte> bytes, time_point now) {
  advance(now);
  effects out;
  link* by = link_of(from);
  if (goodbye_ || by == nullptr || !allowed_(from)) {
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
                options_.probe_interval.count());
  }
  OVIR_ASSIGN(const gossip_message message, decode_gossip(bytes));
  by->traffic.spend(cost_of(message.body), now);
  for (const signed_update& u : message.updates) {
    apply(u, from, *by, now, out);
    if (by->forged) {
      return out;
    }
  }
  entry* e = look_up(from);
  if (e != nullptr && e->where == standing::heard_of) {
    found_alive(*e, now, out);
  }
  receive(message.body, from, now, out);
  return out;
}

void membership_core::apply(const signed_update& update, const node_id& from, link& by,
                            time_point now, effects& out) {
  if (const auto* advert = std::get_if<signed_advert>(&update)) {
    if (advert->node == self_.node) {
      // Signed by this very key: an earlier life got further.
      if (advert->incarnation > own_.incarnation) {
        hear_of_self(advert->incarnation, update, by, now, out);
      }
    } else {
      apply_advert(*advert, from, by, now, out);
    }
  } else if (const auto* suspicion = std::get_if<signed_suspicion>(&update)) {
    apply_suspicion(*suspicion, from, by, now, out);
  } else if (const auto* farewell = std::get_if<signed_farewell>(&update)) {
    if (farewell->node == self_.node) {
      if (farewell->incarnation >= own_.incarnation) {
        hear_of_self(farewell->incarnation, update, by, now, out);
      }
    } else {
      apply_farewell(*farewell, by, now, out);
    }
  }
}

/// Whether it is signed by whom it names. One false signature and the rest of that link is not
/// listened to.
bool membership_core::checked(const signed_update& update, link& by, time_point now) const {
  if (!by.traffic.spend(1, now)) {
    return false;
  }
  by.forged = !is_genuine(update);
  return !by.forged;
}

bool membership_core::may_be(const node_id& node, role_set roles) const {
  const auto allowed = allowed_(node);
  return allowed && roles.within(*allowed);
}

void membership_core::hear_of_self(std::uint64_t incarnation, const signed_update& update, link& by,
                                   time_point now, effects& out) {
  if (incarnation > incarnation_floor_ && checked(update, by, now)) {
    incarnation_floor_ = incarnation;
    accused_ = true;
    refute_if_due(now, out);
  }
}

void membership_core::apply_advert(const signed_advert& a, const node_id& from, link& by,
                                   time_point now, effects& out) {
  entry* e = look_up(a.node);
  const bool here = a.node == from || linked(a.node);
  const bool too_many = e == nullptr && !here && introduced_by(from) >= limits::introductions_max;
  if ((e != nullptr && a.incarnation <= e->reached()) || !may_be(a.node, a.advert.roles) ||
      (e != nullptr && !e->adverts.has(1, now)) || too_many || !checked(a, by, now)) {
    return;
  }
  if (e != nullptr) {
    e->adverts.spend(1, now);
    if (e->was_member) {
      queue_.push(a);
    }
    apply_newer_advert(*e, a, now, out);
    return;
  }
  if (!make_room(from, here)) {
    return;
  }
  const auto period = options_.probe_interval;
  entry fresh{.where = standing::heard_of,
              .was_member = false,
              .introducer = from,
              .shown = {a.node, a.incarnation, member_health::alive, a.advert, std::nullopt},
              .newest = a,
              .accusation = std::nullopt,
              .farewell = std::nullopt,
              .open = std::nullopt,
              .probed = now,
              .since = now,
              .death = now,
              .contact = now,
              .wait = std::chrono::milliseconds{0},
              .accused_by = {},
              .adverts = allowance{limits::advert_allowance, 1, period},
              .accusations = allowance{limits::accusation_allowance, 1, period}};
  look_for_soon(fresh, now);
  e = &entries_.emplace(a.node, std::move(fresh)).first->second;
  if (linked(a.node)) {
    found_alive(*e, now, out);
  }
}

void membership_core::apply_newer_advert(entry& e, const signed_advert& a, time_point now,
                                         effects& out) {
  const bool changed = e.newest.advert != a.advert;
  const bool moved = e.newest.advert.address != a.advert.address;
  e.newest = a;
  e.accusation.reset();
  e.farewell.reset();
  e.accused_by.clear();
  if (moved) {
    e.wait = std::chrono::milliseconds{0};
    look_for_soon(e, now);
  }
  switch (e.where) {
  case standing::heard_of: break;
  case standing::alive:
    e.shown.incarnation = a.incarnation;
    if (changed) {
      show(e, false, out);
    }
    break;
  case standing::suspect: // refuted
    found_alive(e, now, out);
    break;
  case standing::dead:
  case standing::left:
    // It may be back; that it is, it has to say itself.
    e.where = standing::heard_of;
    e.since = now;
    e.wait = std::chrono::milliseconds{0};
    e.shown.rtt.reset();
    look_for_soon(e, now);
    if (linked(a.node)) {
      begin_probe(e, false, now, out);
    }
    break;
  }
}

/// Whoever doubts us gets our advert, which refutes an accusation of an earlier incarnation; one
/// of this incarnation first has to be checked, and answered by a higher one. A stale accusation
/// of a third node is just late.
void membership_core::be_doubted(const signed_suspicion& s, const node_id& from, link& by,
                                 time_point now, effects& out) {
  if (s.incarnation < own_.incarnation) {
    if (s.accuser == from) {
      send(from, news{}, out, {own_});
    }
    return;
  }
  if (s.incarnation != own_.incarnation || (!accused_ && !checked(s, by, now))) {
    return;
  }
  if (doubters_.size() < limits::members_max &&
      std::find(doubters_.begin(), doubters_.end(), from) == doubters_.end()) {
    doubters_.push_back(from);
  }
  accused_ = true;
  refute_if_due(now, out);
}

void membership_core::apply_suspicion(const signed_suspicion& s, const node_id& from, link& by,
                                      time_point now, effects& out) {
  if (s.accuser == self_.node || s.accuser == s.subject || !allowed_(s.accuser)) {
    return;
  }
  if (s.subject == self_.node) {
    be_doubted(s, from, by, now, out);
    return;
  }
  entry* subject = look_up(s.subject);
  entry* accuser = look_up(s.accuser);
  if (subject == nullptr || subject->where != standing::alive ||
      s.incarnation != subject->newest.incarnation || accuser == nullptr ||
      (accuser->where != standing::alive && accuser->where != standing::suspect)) {
    return;
  }
  // Already looking into it, or it did not long ago because of the same word.
  const auto earlier = subject->accused_by.find(s.accuser);
  if ((subject->open && subject->open->others_asked) ||
      (earlier != subject->accused_by.end() &&
       now - earlier->second < 2 * options_.suspect_timeout) ||
      !accuser->accusations.has(1, now) || !checked(s, by, now)) {
    return;
  }
  accuser->accusations.spend(1, now);
  subject->accused_by[s.accuser] = now;
  queue_.push(s);
  begin_probe(*subject, true, now, out);
}

void membership_core::apply_farewell(const signed_farewell& f, link& by, time_point now,
                                     effects& out) {
  entry* e = look_up(f.node);
  if (e == nullptr || e->where == standing::left || f.incarnation < e->reached() ||
      !checked(f, by, now)) {
    return;
  }
  e->where = standing::left;
  e->since = now;
  e->open.reset();
  e->accusation.reset();
  e->farewell = f;
  queue_.forget(f.node);
  queue_.push(f);
  show(*e, true, out);
}

/// When the table is full, first those make room that are only told of: for one that is here
/// itself, or one told of by a peer that told of fewer. Then the one that is gone longest.
bool membership_core::make_room(const node_id& from, bool here) {
  if (entries_.size() + 1 < limits::members_max) {
    return true;
  }
  const std::size_t own = introduced_by(from);
  auto oldest = entries_.end();
  std::size_t oldest_rank = 0;
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    const entry& e = it->second;
    const std::size_t told = e.was_member ? 0 : introduced_by(e.introducer);
    const bool unreached = !e.was_member && (here || told > own + 1);
    const bool gone = e.was_member && (e.where == standing::dead || e.where == standing::left ||
                                       (here && e.where == standing::heard_of));
    const std::size_t rank = unreached ? 1 + told : gone ? 1 : 0;
    if (rank > oldest_rank ||
        (rank != 0 && rank == oldest_rank && e.since < oldest->second.since)) {
      oldest = it;
      oldest_rank = rank;
    }
  }
  if (oldest == entries_.end()) {
    return false;
  }
  queue_.forget(oldest->first);
  entries_.erase(oldest);
  return true;
}

void membership_core::receive(const gossip_body& body, const node_id& from, time_point now,
                              effects& out) {
  if (const auto* p = std::get_if<ping>(&body)) {
    // Who is unknown is shown what we know, so that it sees its own name missing.
    const bool unknown = look_up(from) == nullptr;
    send(from, ping_answer{p->nonce}, out);
    if (unknown) {
      send(from, summarize(false), out, {own_});
    }
  } else if (const auto* answer = std::get_if<ping_answer>(&body)) {
    entry* e = look_up(from);
    if (e == nullptr || !e->open || e->open->nonce != answer->nonce) {
      return;
    }
    if (e->open->measures) {
      const auto sample =
          std::chrono::duration_cast<std::chrono::microseconds>(now - e->open->begun);
      // The gain of RFC 6298.
      e->shown.rtt = e->shown.rtt ? *e->shown.rtt + (sample - *e->shown.rtt) / 8 : sample;
    }
    e->wait = std::chrono::milliseconds{0};
    found_alive(*e, now, out);
  } else if (const auto* order = std::get_if<probe_order>(&body)) {
    if (order->target == self_.node) {
      send(from, sign_life(key_, from, order->nonce), out);
    } else if (order->target != from && linked(order->target)) {
      if (relays_.size() == limits::relayed_probes_max) {
        relays_.erase(relays_.begin());
      }
      relays_.push_back({order->nonce, order->target, from});
      send(order->target, relayed_ping{order->nonce, from}, out);
    }
  } else if (const auto* relayed = std::get_if<relayed_ping>(&body)) {
    if (allowed_(relayed->requester)) {
      send(from, sign_life(key_, relayed->requester, relayed->nonce), out);
    }
  } else if (const auto* sign = std::get_if<life_sign>(&body)) {
    receive_life_sign(*sign, from, now, out);
  } else if (const auto* s = std::get_if<summary>(&body)) {
    receive_summary(*s, from, out);
  }
}

void membership_core::receive_life_sign(const life_sign& sign, const node_id& from, time_point now,
                                        effects& out) {
  if (sign.requester == self_.node) {
    entry* e = look_up(sign.target);
    // A helper does not check what it carries, so a false one is not held against it. Who has never
    // been a member does not become one by another's hand.
    if (e != nullptr && e->was_member && e->open && e->open->nonce == sign.nonce &&
        is_genuine(sign)) {
      found_alive(*e, now, out);
    }
    return;
  }
  const auto asked = std::find_if(relays_.begin(), relays_.end(), [&](const relay& r) {
    return r.nonce == sign.nonce && r.target == from && r.target == sign.target &&
           r.requester == sign.requester;
  });
  if (asked != relays_.end()) {
    relays_.erase(asked);
    send(sign.requester, sign, out);
  }
}

summary membership_core::summarize(bool answer_wanted) const {
  summary s{answer_wanted, {{self_.node, own_.incarnation, true}}};
  for (const auto& [node, e] : entries_) {
    const bool counted = e.where == standing::alive || e.where == standing::suspect;
    s.nodes.push_back({node, e.reached(), counted});
  }
  return s;
}

/// Sends what the other lacks, and our own summary when we lack something and it asked.
void membership_core::receive_summary(const summary& s, const node_id& from, effects& out) {
  std::map<node_id, known_node> theirs;
  for (const known_node& k : s.nodes) {
    theirs.emplace(k.node, k);
  }
  const auto lacks = [&theirs](const node_id& node, std::uint64_t incarnation) {
    const auto it = theirs.find(node);
    return it == theirs.end() || it->second.incarnation < incarnation;
  };
  std::vector<signed_update> updates;
  if (lacks(self_.node, own_.incarnation)) {
    updates.emplace_back(own_);
  }
  for (const auto& [node, e] : entries_) {
    const auto it = theirs.find(node);
    const bool counted_there = it != theirs.end() && it->second.counted;
    if (e.where == standing::alive || e.where == standing::suspect) {
      if (lacks(node, e.newest.incarnation)) {
        updates.emplace_back(e.newest);
      }
    } else if (e.farewell && counted_there && it->second.incarnation <= e.farewell->incarnation) {
      updates.emplace_back(*e.farewell);
    } else if (e.accusation && counted_there &&
               it->second.incarnation == e.accusation->incarnation) {
      updates.emplace_back(*e.accusation);
    }
  }
  // From another place each time: the receiver takes only so many that it has not reached.
  if (const std::size_t own = lacks(self_.node, own_.incarnation) ? 1 : 0; updates.size() > own) {
    const auto first = updates.begin() + static_cast<std::ptrdiff_t>(own);
    const std::uint64_t by = random() % (updates.size() - own);
    std::rotate(first, first + static_cast<std::ptrdiff_t>(by), updates.end());
  }
  const bool missing = std::any_of(s.nodes.begin(), s.nodes.end(), [this](const known_node& k) {
    if (k.node == self_.node) {
      return k.incarnation > own_.incarnation;
    }
    const entry* e = look_up(k.node);
    return k.counted &&
           (e == nullptr ? allowed_(k.node).has_value() : k.incarnation > e->reached());
  });
  if (missing && s.answer_wanted) {
    send_all(from, summarize(false), std::move(updates), out);
  } else if (!updates.empty()) {
    send_all(from, news{}, std::move(updates), out);
  }
}

} // namespace ovir::actors
