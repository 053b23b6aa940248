#include "actors/members/member_updates.hpp"

#include "actors/members/crowd_vouchers.hpp"
#include "actors/members/member_asks.hpp"
#include "actors/members/member_crowd.hpp"
#include "actors/members/member_latest.hpp"
#include "actors/members/member_probes.hpp"
#include "actors/members/member_sums.hpp"
#include "messages/limits/invitations.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace ovir::actors {

namespace {

/// Whether it is signed by whom it names. One false signature and the rest of that link is not
/// listened to.
bool checked(const member_table& m, const signed_update& update, gossip_link& by,
             membership_time now) {
  if (!by.traffic.spend(1, now)) {
    return false;
  }
  by.forged = !m.genuine(update);
  return !by.forged;
}

void hear_of_self(member_table& m, std::uint64_t incarnation, const signed_update& update,
                  gossip_link& by, membership_time now, membership_effects& out) {
  if (incarnation > m.incarnation_floor && checked(m, update, by, now)) {
    m.incarnation_floor = incarnation;
    m.accused = true;
    m.refute_if_due(now, out);
  }
}

/// When the table is full, first those make room that are only told of: for one that is here
/// itself, or one told of by a peer that told of fewer. Then the one that is gone longest.
bool make_room(member_table& m, const node_id& from, bool here) {
  if (m.entries.size() + 1 < m.options.members_max) {
    return true;
  }
  const std::size_t own = m.introduced_by(from);
  auto oldest = m.entries.end();
  std::size_t oldest_rank = 0;
  for (auto it = m.entries.begin(); it != m.entries.end(); ++it) {
    const member_entry& e = it->second;
    const std::size_t told = e.was_member ? 0 : m.introduced_by(e.words->introducer);
    const bool unreached = !e.was_member && (here || told > own + 1);
    const bool gone =
        e.was_member && (e.where == member_standing::dead || e.where == member_standing::left ||
                         (here && e.where == member_standing::heard_of));
    const std::size_t rank = unreached ? 1 + told : gone ? 1 : 0;
    if (rank > oldest_rank ||
        (rank != 0 && rank == oldest_rank && e.since < oldest->second.since)) {
      oldest = it;
      oldest_rank = rank;
    }
  }
  if (oldest == m.entries.end()) {
    return false;
  }
  m.erase(oldest);
  return true;
}

bool may_enter(const member_table& m, const stranger_origin& from) {
  return m.told.strangers.has_room(from) || m.told.strangers.has_fair_claim(from);
}

/// A place for a stranger: within the shares, or one that is here itself, for which another of its
/// site goes that has no link.
bool make_stranger_room(member_table& m, const stranger_origin& from, bool here) {
  if (m.told.strangers.has_room(from)) {
    return true;
  }
  if (!here && !m.told.strangers.has_fair_claim(from)) {
    return false;
  }
  auto oldest = m.entries.end();
  const auto consider = [&](const node_id& node) {
    const auto at = m.entries.find(node);
    if (at != m.entries.end() && !m.linked(node) &&
        (oldest == m.entries.end() || at->second.since < oldest->second.since)) {
      oldest = at;
    }
  };
  if (m.told.strangers.of_site(from.site) >= limits::stranger_entries_per_site) {
    m.told.strangers.each_of(from.site, consider);
  } else if (!m.told.strangers.is_full()) {
    return true; // who told of it told of many, but it is here
  } else {
    m.told.strangers.each_of_largest(consider);
  }
  if (oldest == m.entries.end()) {
    return false;
  }
  m.erase(oldest);
  return true;
}

void apply_newer_advert(member_table& m, member_entry& e, const signed_advert& a,
                        membership_time now, membership_effects& out) {
  const bool changed = e.newest->advert != a.advert;
  const bool moved = e.newest->advert.address != a.advert.address;
  e.newest = m.keep(a);
  e.accusation.reset();
  e.farewell.reset();
  if (e.words) {
    e.words->accused_by.clear();
    e.words->vouchers.clear();
  }
  if (moved) {
    e.wait = std::chrono::milliseconds{0};
    m.look_for_soon(e, now);
  }
  switch (e.where) {
  case member_standing::heard_of: break;
  case member_standing::alive:
    e.shown.incarnation = a.incarnation;
    e.shown.advert = e.newest;
    if (changed) {
      m.show(e, false, out);
    }
    break;
  case member_standing::suspect: // refuted
    if (OVIR_MUTANT("member_believes_no_refutation")) {
      break;
    }
    m.found_alive(e, now, out);
    break;
  case member_standing::dead:
  case member_standing::left:
    // It may be back; that it is, it has to say itself.
    m.move_to(e, member_standing::heard_of, now);
    e.wait = std::chrono::milliseconds{0};
    e.measured.reset();
    m.look_for_soon(e, now);
    if (m.linked(a.node) && m.crowded()) {
      look_at(m, e, now, out);
    } else if (m.linked(a.node)) {
      begin_probe(m, e, false, now, out);
    }
    break;
  }
}

void apply_advert(member_table& m, const signed_advert& a, const node_id& from, gossip_link& by,
                  membership_time now, membership_effects& out) {
  member_entry* e = m.look_up(a.node);
  const bool here = a.node == from || m.linked(a.node);
  const std::size_t most = m.crowded() ? limits::crowd_introductions : limits::introductions_max;
  const std::uint32_t cost = m.crowded() ? limits::crowd_advert_cost : 1;
  const bool too_many =
      e == nullptr && !here &&
      (m.introduced_by(from) >= most ||
       (m.is_stranger(a.node) && !may_enter(m, m.origin_of(a.node, from, a.advert.address))));
  if (e != nullptr && a.incarnation == e->newest->incarnation) {
    hear_counted(m, {a.node, a.incarnation, true}, from, now, out); // or it would not be told
  }
  if ((e != nullptr && a.incarnation <= e->reached()) || !m.may_be(a.node, a.advert.roles) ||
      (e != nullptr && !m.words(*e).adverts.has(cost, now)) || too_many ||
      !checked(m, a, by, now)) {
    if (too_many) {
      note_heard(m, a, now); // not to be asked for again
    }
    return;
  }
  if (e != nullptr) {
    m.words(*e).adverts.spend(cost, now);
    if (e->was_member && (m.counts(e->where) || !m.crowded())) {
      m.tell(a, now);
    }
    apply_newer_advert(m, *e, a, now, out);
    hear_counted(m, {a.node, a.incarnation, true}, from, now, out);
    take_claims(m, *e, now, out);
    return;
  }
  const bool stranger = m.is_stranger(a.node);
  const stranger_origin origin = m.origin_of(a.node, from, a.advert.address);
  if ((stranger && !make_stranger_room(m, origin, here)) || !make_room(m, from, here)) {
    return;
  }
  const kept_advert kept = m.keep(a);
  member_entry fresh;
  fresh.shown = {a.node, a.incarnation, kept, member_health::alive};
  fresh.newest = kept;
  fresh.probed = fresh.since = fresh.death = fresh.contact = now;
  m.words(fresh).introducer = from;
  m.look_for_soon(fresh, now);
  e = &m.add(a.node, std::move(fresh));
  if (stranger) {
    m.told.strangers.enter(a.node, origin);
  }
  if (m.linked(a.node)) {
    m.found_alive(*e, now, out);
    return;
  }
  if (!m.learns(now)) {
    note_heard(m, a, now);
  }
  hear_counted(m, {a.node, a.incarnation, true}, from, now, out);
  take_claims(m, *e, now, out);
}

/// A node that doubts this one gets its advert, which refutes an accusation of an earlier
/// incarnation; one of this incarnation first has to be checked, and answered by a higher one. A
/// stale accusation of a third node is just late.
void be_doubted(member_table& m, const signed_suspicion& s, const node_id& from, gossip_link& by,
                membership_time now, membership_effects& out) {
  if (s.incarnation < m.own.incarnation) {
    if (s.accuser == from) {
      m.send(from, news{}, out, {m.own});
    }
    return;
  }
  if (s.incarnation != m.own.incarnation || m.crowd.accusers.size() >= limits::doubters_max ||
      (!m.accused && !m.crowd.accusers.contains(s.accuser) && !checked(m, s, by, now))) {
    return;
  }
  // In a crowd one accuser is believed by nobody else, and a refutation goes to thousands.
  m.crowd.accusers.insert(s.accuser);
  const bool believed = !m.crowded() || m.crowd.accusers.size() >= limits::accusers_min ||
                        (s.accuser == from && may_refute_one(m, now));
  if (!believed) {
    return;
  }
  if (m.doubters.size() < limits::doubters_max &&
      std::find(m.doubters.begin(), m.doubters.end(), from) == m.doubters.end()) {
    m.doubters.push_back(from);
  }
  m.accused = true;
  m.refute_if_due(now, out);
}

void apply_suspicion(member_table& m, const signed_suspicion& s, const node_id& from,
                     gossip_link& by, membership_time now, membership_effects& out) {
  if (s.accuser == m.self.node || s.accuser == s.subject || !m.allowed(s.accuser)) {
    return;
  }
  if (s.subject == m.self.node) {
    be_doubted(m, s, from, by, now, out);
    return;
  }
  member_entry* subject = m.look_up(s.subject);
  member_entry* accuser = m.look_up(s.accuser);
  if (subject == nullptr || !m.counts(subject->where) ||
      s.incarnation != subject->newest->incarnation || accuser == nullptr ||
      !m.counts(accuser->where)) {
    return;
  }
  const std::uint32_t cost = m.crowded() ? limits::crowd_accusation_cost : 1;
  auto& accused_by = m.words(*subject).accused_by;
  const auto earlier = accused_by.find(s.accuser);
  const bool known = earlier != accused_by.end();
  // Already looking into it, or it did not long ago because of the same word.
  const bool looked = m.crowded()
                          ? known || subject->doomed
                          : subject->where != member_standing::alive ||
                                (subject->open && subject->open->others_asked) ||
                                (known && now - earlier->second < 2 * m.options.suspect_timeout);
  if (looked || !m.words(*accuser).accusations.has(cost, now) || !checked(m, s, by, now)) {
    return;
  }
  m.words(*accuser).accusations.spend(cost, now);
  if (m.crowded()) {
    hear_accusation(m, *subject, s, now, out);
    return;
  }
  accused_by[s.accuser] = now;
  m.tell(s, now);
  begin_probe(m, *subject, true, now, out);
}

void apply_farewell(member_table& m, const signed_farewell& f, gossip_link& by, membership_time now,
                    membership_effects& out) {
  member_entry* e = m.look_up(f.node);
  if (e == nullptr || e->where == member_standing::left || f.incarnation < e->reached() ||
      !checked(m, f, by, now)) {
    return;
  }
  m.move_to(*e, member_standing::left, now);
  e->open.reset();
  e->doomed = false;
  e->accusation.reset();
  e->farewell = std::make_unique<signed_farewell>(f);
  m.queue.forget(f.node);
  m.tell(f, now);
  m.show(*e, true, out);
}

void receive_life_sign(member_table& m, const life_sign& sign, const node_id& from,
                       membership_time now, membership_effects& out) {
  if (sign.requester == m.self.node) {
    member_entry* e = m.look_up(sign.target);
    // A helper does not check what it carries, so a false one is not held against it. Who has never
    // been a member does not become one by another's hand.
    if (e != nullptr && e->was_member && e->open && e->open->nonce == sign.nonce &&
        is_genuine(sign)) {
      m.found_alive(*e, now, out);
    }
    return;
  }
  const auto asked = std::find_if(m.relays.begin(), m.relays.end(), [&](const probe_relay& r) {
    return r.nonce == sign.nonce && r.target == from && r.target == sign.target &&
           r.requester == sign.requester;
  });
  if (asked != m.relays.end()) {
    m.relays.erase(asked);
    m.send(sign.requester, sign, out);
  }
}

/// What the sender of this summary lacks, in the buckets it is about.
std::vector<signed_update> lacking(member_table& m, const summary& s, const node_id& from) {
  std::unordered_map<node_id, known_node, node_hash> theirs{s.nodes.size(),
                                                            m.places.hash_function().hash};
  for (const known_node& k : s.nodes) {
    theirs.emplace(k.node, k);
  }
  const auto lacks = [&](const node_id& node, std::uint64_t incarnation) {
    const auto it = theirs.find(node);
    return it == theirs.end() || it->second.incarnation < incarnation;
  };
  std::vector<signed_update> updates;
  if (s.buckets[bucket_of(m.self.node)] && lacks(m.self.node, m.own.incarnation)) {
    updates.emplace_back(m.own);
  }
  const std::size_t own = updates.size();
  m.each_in(s.buckets, [&](member_entry& e) {
    const node_id& node = e.shown.node;
    if (node == from && lacks(node, e.reached())) {
      // Its clock went back, or it lost what it knew: what it signed itself raises it above that.
      const bool left = e.farewell != nullptr && e.farewell->incarnation == e.reached();
      updates.push_back(left ? signed_update{*e.farewell} : signed_update{*e.newest});
      return;
    }
    const auto it = theirs.find(node);
    const bool counted_there = it != theirs.end() && it->second.counted;
    if (m.counts(e.where)) {
      if (lacks(node, e.newest->incarnation)) {
        updates.emplace_back(*e.newest);
      }
    } else if (e.farewell && counted_there && it->second.incarnation <= e.farewell->incarnation) {
      updates.emplace_back(*e.farewell);
    } else if (counted_there && it->second.incarnation <= e.newest->incarnation &&
               m.word_against(e) != nullptr) {
      if (it->second.incarnation < e.newest->incarnation) {
        updates.emplace_back(
            *e.newest); // or the word would be against an incarnation unknown there
      }
      updates.emplace_back(*e.accusation);
    }
  });
  // From another place each time: the receiver takes only so many that it has not reached.
  if (updates.size() > own) {
    const auto first = updates.begin() + static_cast<std::ptrdiff_t>(own);
    const std::uint64_t by = m.random() % (updates.size() - own);
    std::rotate(first, first + static_cast<std::ptrdiff_t>(by), updates.end());
  }
  return updates;
}

/// Whom the sender of this summary lacks, or holds for dead or gone, and this node counts.
std::vector<node_id> doubtful(const member_table& m, const summary& s,
                              const std::vector<signed_update>& lacks) {
  std::vector<node_id> out;
  for (const signed_update& u : lacks) {
    out.push_back(subject_of(u));
  }
  for (const known_node& k : s.nodes) {
    const member_entry* const e = k.counted ? nullptr : m.look_up(k.node);
    if (e != nullptr && e->where == member_standing::alive &&
        e->newest->incarnation <= k.incarnation) {
      out.push_back(k.node);
    }
  }
  return out;
}

/// Sends what the other lacks, and our own summary when we lack something and it asked.
void receive_summary(member_table& m, const summary& s, const node_id& from, membership_time now,
                     membership_effects& out) {
  for (const known_node& k : s.nodes) {
    hear_counted(m, k, from, now, out);
  }
  std::vector<signed_update> updates = lacking(m, s, from);
  if (m.lists()) {
    doubt(m, doubtful(m, s, updates), now, out);
  }
  bool missing = std::any_of(s.nodes.begin(), s.nodes.end(), [&m](const known_node& k) {
    if (k.node == m.self.node) {
      return k.incarnation > m.own.incarnation;
    }
    const member_entry* e = m.look_up(k.node);
    return k.counted &&
           (e == nullptr ? m.allowed(k.node).has_value() : k.incarnation > e->reached());
  });
  if (m.crowded()) {
    // Whoever tells of all it knows knows few, and compares sums once it knows more.
    const bool newcomer = s.buckets.all();
    const std::uint32_t may = newcomer ? limits::sampled_updates : limits::exchanged_updates_max;
    const auto most = static_cast<std::uint32_t>(std::min<std::size_t>(updates.size(), may));
    gossip_link* const l = m.link_of(from);
    updates.resize(l == nullptr ? 0 : l->answers.spend_up_to(most, now));
    missing = missing && !newcomer && (!m.lists() || s.buckets.count() == 1);
    vouch_for_heard(m, s, from, out);
    if (m.lists() && s.answer_wanted && !newcomer && s.buckets.count() > 1) {
      ask_for_lines(m, s, from, out);
    }
    if (s.answer_wanted && s.buckets.count() >= limits::exchanged_buckets_max && !m.lists()) {
      m.crowd.next_exchange =
          std::min(m.crowd.next_exchange, now + m.intervals(limits::catch_up_intervals));
    }
  }
  if (missing && s.answer_wanted) {
    std::vector<summary> ours = m.summarize(false, s.buckets);
    for (summary& one : ours) {
      decltype(updates) beside;
      if (&one == &ours.back()) {
        beside.swap(updates);
      }
      m.send_all(from, std::move(one), std::move(beside), out);
    }
  } else if (!updates.empty()) {
    m.send_all(from, news{}, std::move(updates), out);
  }
}

} // namespace

// What a message costs a peer of its allowance, beside one for itself and one per signature: what
// it makes us send or compute.
constexpr std::uint32_t summary_cost = 8;
constexpr std::uint32_t digests_cost = 48;
constexpr std::uint32_t relayed_cost = 2;
constexpr std::uint32_t latest_cost = 8;

std::uint32_t cost_of(const gossip_body& body) {
  if (std::holds_alternative<summary>(body)) {
    return summary_cost;
  }
  if (std::holds_alternative<digests>(body)) {
    return digests_cost;
  }
  if (std::holds_alternative<latest>(body) || std::holds_alternative<latest_answer>(body)) {
    return latest_cost;
  }
  if (const auto* const told = std::get_if<notices>(&body)) {
    return 1 + static_cast<std::uint32_t>(limits::notices_cost * told->tokens.size());
  }
  const bool relayed = std::holds_alternative<probe_order>(body) ||
                       std::holds_alternative<relayed_ping>(body) ||
                       std::holds_alternative<life_sign>(body);
  return relayed ? relayed_cost : 1;
}

void apply_update(member_table& m, const signed_update& update, const node_id& from,
                  gossip_link& by, membership_time now, membership_effects& out) {
  if (const auto* advert = std::get_if<signed_advert>(&update)) {
    if (advert->node == m.self.node) {
      // Signed by this very key: an earlier life got further.
      if (advert->incarnation > m.own.incarnation) {
        hear_of_self(m, advert->incarnation, update, by, now, out);
      }
    } else {
      apply_advert(m, *advert, from, by, now, out);
    }
  } else if (const auto* suspicion = std::get_if<signed_suspicion>(&update)) {
    apply_suspicion(m, *suspicion, from, by, now, out);
  } else if (const auto* farewell = std::get_if<signed_farewell>(&update)) {
    if (farewell->node == m.self.node) {
      if (farewell->incarnation >= m.own.incarnation) {
        hear_of_self(m, farewell->incarnation, update, by, now, out);
      }
    } else {
      apply_farewell(m, *farewell, by, now, out);
    }
  }
}

void receive_gossip(member_table& m, const gossip_body& body, const node_id& from,
                    membership_time now, membership_effects& out) {
  if (const auto* p = std::get_if<ping>(&body)) {
    // Who is unknown is shown what we know, so that it sees its own name missing.
    const bool unknown = m.look_up(from) == nullptr;
    m.send(from, ping_answer{p->nonce}, out);
    if (unknown && m.crowded()) {
      m.send(from, news{}, out, {m.own});
    } else if (unknown) {
      m.send_summary(from, false, bucket_set{}.set(), out, {m.own});
    }
  } else if (const auto* answer = std::get_if<ping_answer>(&body)) {
    member_entry* e = m.look_up(from);
    if (e == nullptr || !e->open || e->open->nonce != answer->nonce) {
      return;
    }
    if (e->open->measures) {
      if (e->measured == nullptr) {
        e->measured = std::make_unique<round_trips>();
      }
      e->measured->add(std::chrono::duration_cast<round_trips::duration>(now - e->open->begun));
    }
    e->wait = std::chrono::milliseconds{0};
    m.found_alive(*e, now, out);
  } else if (const auto* order = std::get_if<probe_order>(&body)) {
    if (order->target == m.self.node) {
      m.send(from, sign_life(m.key, from, order->nonce), out);
    } else if (order->target != from && m.linked(order->target)) {
      if (m.relays.size() == limits::relayed_probes_max) {
        m.relays.erase(m.relays.begin());
      }
      m.relays.push_back({order->nonce, order->target, from});
      m.send(order->target, relayed_ping{order->nonce, from}, out);
    }
  } else if (const auto* relayed = std::get_if<relayed_ping>(&body)) {
    if (m.allowed(relayed->requester)) {
      m.send(from, sign_life(m.key, relayed->requester, relayed->nonce), out);
    }
  } else if (const auto* sign = std::get_if<life_sign>(&body)) {
    receive_life_sign(m, *sign, from, now, out);
  } else if (const auto* s = std::get_if<summary>(&body)) {
    receive_summary(m, *s, from, now, out);
  } else if (const auto* sums = std::get_if<digests>(&body)) {
    receive_digests(m, *sums, from, now, out);
  } else if (const auto* list = std::get_if<latest>(&body)) {
    receive_latest(m, *list, from, now, out);
  } else if (const auto* told_latest = std::get_if<latest_answer>(&body)) {
    receive_latest_answer(m, *told_latest, from, now, out);
  } else if (std::holds_alternative<parting>(body)) {
    receive_parting(m, from);
  } else if (const auto* told = std::get_if<notices>(&body)) {
    out.emplace_back(heard_notices{from, told->tokens});
  }
}

} // namespace ovir::actors
