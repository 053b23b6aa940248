#include "actors/members/member_crowd.hpp"

#include "actors/members/member_latest.hpp"
#include "actors/members/member_probes.hpp"
#include "actors/members/member_sums.hpp"
#include "messages/mutant.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

namespace ovir::actors {

namespace {

void attend_at(member_table& m, const node_id& node, membership_time when) {
  m.crowd.due.push({when, node});
}

void shuffle(member_table& m, std::vector<node_id>& nodes) {
  for (std::size_t i = nodes.size(); i > 1; --i) {
    std::swap(nodes[i - 1], nodes[m.random() % i]);
  }
}

/// One of those that are `wanted`, by turns in an order of chance; null where there is none.
template <class Wanted>
member_entry* next_of(member_table& m, std::vector<node_id>& round, Wanted wanted) {
  for (int refilled = 0; refilled < 2; ++refilled) {
    while (!round.empty()) {
      member_entry* const e = m.look_up(round.back());
      round.pop_back();
      if (e != nullptr && wanted(*e)) {
        return e;
      }
    }
    for (const auto& [node, e] : m.entries) {
      if (wanted(e)) {
        round.push_back(node);
      }
    }
    shuffle(m, round);
  }
  return nullptr;
}

/// One of the dead and of those that are only told of, likewise.
member_entry* next_lost_of(member_table& m) {
  const auto wanted = [&m](const member_entry* e) {
    return e != nullptr &&
           (e->where == member_standing::dead || e->where == member_standing::heard_of) &&
           !m.linked(e->shown.node);
  };
  auto& round = m.crowd.lost;
  for (int refilled = 0; refilled < 2; ++refilled) {
    while (!round.empty()) {
      member_entry* const e = m.look_up(round.back());
      round.pop_back();
      if (wanted(e)) {
        return e;
      }
    }
    for (const auto* const nodes : {&m.told.gone, &m.told.unreached}) {
      if (nodes == &m.told.unreached && m.lists()) {
        continue; // each at its time, by one_told
      }
      std::copy_if(nodes->begin(), nodes->end(), std::back_inserter(round),
                   [&](const node_id& node) { return wanted(m.look_up(node)); });
    }
    shuffle(m, round);
  }
  return nullptr;
}

bool has_leave(const member_table& m, const node_id& node) { return !m.is_stranger(node); }

/// Whom an accusation comes from: of the strangers of one site one counts, and all of them only
/// beside this node's own or, where the accused is a stranger without a link to this node, beside
/// one that has leave. Keys cost nothing, so strangers alone decide nothing.
std::size_t voices_against(const member_table& m, const member_entry& e) {
  const node_id& accused = e.shown.node;
  bool counted = e.accusation != nullptr;
  if (!counted && !has_leave(m, accused) && !m.linked(accused)) {
    counted =
        e.accusers() > 0 && std::any_of(e.words->accused_by.begin(), e.words->accused_by.end(),
                                        [&m](const auto& one) { return has_leave(m, one.first); });
  }
  std::vector<node_id> voices;
  if (e.accusers() == 0) {
    return 0;
  }
  for (const auto& [by, when] : e.words->accused_by) {
    if ((counted || has_leave(m, by)) && !m.speaks_for(voices, by)) {
      voices.push_back(by);
    }
  }
  return voices.size();
}

/// Enough accusers make it suspect, and then it has until `death`.
void judge(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  const std::size_t accusers = voices_against(m, e) + (e.accusation ? 1 : 0);
  const std::size_t enough = OVIR_MUTANT("crowd_believes_one") ? 1 : limits::accusers_min;
  if (accusers < enough || e.doomed || !m.counts(e.where)) {
    return;
  }
  e.doomed = true;
  note_doomed(m, e.shown.node, now);
  e.death = now + m.suspicion_time();
  attend_at(m, e.shown.node, e.death);
  if (e.where == member_standing::alive) {
    m.move_to(e, member_standing::suspect, now);
    m.show(e, true, out);
  }
}

/// Looked at again and again until it answers or is dead, whether or not it can be dialled now.
void suspect(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  if (e.where == member_standing::alive) {
    m.move_to(e, member_standing::suspect, now);
    m.show(e, true, out);
    e.contact = now + m.intervals(limits::suspect_intervals);
    attend_at(m, e.shown.node, e.contact);
  }
}

/// It did not answer twice.
void accuse(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  if (!m.counts(e.where)) {
    return;
  }
  suspect(m, e, now, out);
  if (!e.accusation) {
    e.accusation = std::make_unique<signed_suspicion>(
        sign_suspicion(m.key, e.shown.node, e.newest->incarnation));
    m.tell(*e.accusation, now, limits::accusers_min);
  }
  judge(m, e, now, out);
  e.contact = now + m.intervals(limits::suspect_intervals);
  attend_at(m, e.shown.node, e.contact);
}

void ask(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  const bool up = m.linked(e.shown.node);
  e.open->deadline = now + (up ? m.options.probe_timeout : m.intervals(limits::dial_intervals));
  attend_at(m, e.shown.node, e.open->deadline);
  if (up) {
    m.send(e.shown.node, ping{e.open->nonce}, out);
  } else if (dial(m, e, now, out)) {
    m.crowd.looking[e.shown.node] = e.open->deadline;
  } else {
    e.open.reset(); // it was not asked
  }
}

void attend(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  if (e.open && now >= e.open->deadline) {
    if (e.open->others_asked) {
      e.open.reset();
      accuse(m, e, now, out);
    } else {
      e.open->others_asked = true;
      e.open->measures = false;
      ask(m, e, now, out);
    }
  }
  if (e.where != member_standing::suspect) {
    return;
  }
  if (e.doomed && now >= e.death) {
    m.bury(e, now, out);
  } else if (!e.open && now >= e.contact) {
    e.contact = now + m.intervals(limits::suspect_intervals);
    attend_at(m, e.shown.node, e.contact);
    look_at(m, e, now, out);
  }
}

void attend_due(member_table& m, membership_time now, membership_effects& out) {
  auto& due = m.crowd.due;
  while (!due.empty() && due.top().at <= now) {
    const node_id node = due.top().node;
    due.pop();
    if (member_entry* const e = m.look_up(node)) {
      attend(m, *e, now, out);
    }
  }
}

/// Who is told of has its vouchers by then, or is looked at. Sooner, all would look at a newcomer.
constexpr std::uint32_t told_intervals = 100;
constexpr std::uint32_t lists_told_intervals = 200;

/// One of those that are only told of, and have been for long, by chance; null where there is none.
/// First one of those who told is drawn, so that who tells of many does not hide what others tell;
/// all with leave together are one, which has half of the turns.
member_entry* one_told(member_table& m, membership_time now) {
  struct told_by {
    std::uint64_t seen{0};
    member_entry* chosen{nullptr};
  };
  std::map<stranger_shares::account, told_by> all;
  const auto told_for = m.intervals(m.lists() ? lists_told_intervals : told_intervals);
  for (const node_id& node : m.told.unreached) {
    member_entry* const e = m.look_up(node);
    if (now - e->since >= told_for && !m.linked(node)) {
      const stranger_origin* const from = m.told.strangers.of(node);
      told_by& one =
          all[from == nullptr ? stranger_shares::account{} : stranger_shares::account_of(*from)];
      if (m.random() % ++one.seen == 0) {
        one.chosen = e;
      }
    }
  }
  if (all.empty()) {
    return nullptr;
  }
  if (const auto trusted = all.find({}); trusted != all.end() && m.random() % 2 == 0) {
    return trusted->second.chosen;
  }
  return std::next(all.begin(), static_cast<std::ptrdiff_t>(m.random() % all.size()))
      ->second.chosen;
}

/// The neighbours in turn.
void ping_neighbour(member_table& m, membership_time now, membership_effects& out) {
  auto at = m.links.upper_bound(m.crowd.pinged);
  for (std::size_t i = 0; i < m.links.size(); ++i, ++at) {
    at = at == m.links.end() ? m.links.begin() : at;
    member_entry* const e = at->second.up ? m.look_up(at->first) : nullptr;
    if (e != nullptr && e->where == member_standing::alive && !e->open) {
      m.crowd.pinged = at->first;
      look_at(m, *e, now, out);
      return;
    }
  }
}

void look_around(member_table& m, membership_time now, membership_effects& out) {
  crowd_state& c = m.crowd;
  if (now >= c.next_ping) {
    c.next_ping =
        now + m.intervals(m.lists() ? limits::lists_ping_intervals : limits::neighbour_intervals);
    ping_neighbour(m, now, out);
  }
  const bool room = c.looking.size() < limits::short_links_max;
  if (now >= c.next_look && room && m.counted > 0) {
    const std::uint32_t share = m.lists() ? limits::lists_met_share : limits::met_share;
    const bool known = std::uint64_t{c.met} * share >= m.alive_count();
    const std::uint32_t hurry = m.lists() ? 1 : limits::neighbour_intervals;
    c.next_look = now + (known ? m.thinned(limits::look_intervals) : m.intervals(hurry));
    member_entry* const e = next_of(m, c.alive, [&m](const member_entry& one) {
      return one.where == member_standing::alive && !one.open && !m.linked(one.shown.node);
    });
    if (e != nullptr) {
      look_at(m, *e, now, out);
    }
  }
  if (now >= c.next_lost && room && m.entries.size() > m.counted &&
      !OVIR_MUTANT("members_look_for_nobody")) {
    c.next_lost = now + (c.lost_hopes > 0 ? m.intervals(limits::neighbour_intervals)
                                          : m.thinned(limits::lost_intervals));
    c.lost_hopes -= c.lost_hopes > 0 ? 1 : 0;
    member_entry* e = one_told(m, now);
    if (e != nullptr) { // it is there, most likely
      c.next_lost = std::min(c.next_lost, now + m.intervals(limits::look_intervals));
    } else {
      e = next_lost_of(m);
    }
    if (e != nullptr && m.may_be(e->shown.node, e->newest->advert.roles) && dial(m, *e, now, out)) {
      c.looking[e->shown.node] = now + m.intervals(limits::dial_intervals);
    }
  }
}

/// Whether those drawn beside it are of its site, or told of by who told of it, as many as may be.
/// Never of a node that has leave.
bool has_its_share(const member_table& m, const node_id& node) {
  const stranger_origin* const its = m.told.strangers.of(node);
  if (its == nullptr) {
    return false;
  }
  std::size_t of_site = 0;
  std::size_t told = 0;
  for (const auto& [drawn, since] : m.crowd.drawn) {
    const stranger_origin* const other = drawn == node ? nullptr : m.told.strangers.of(drawn);
    of_site += other != nullptr && other->site == its->site ? 1 : 0;
    told +=
        other != nullptr && stranger_shares::account_of(*other) == stranger_shares::account_of(*its)
            ? 1
            : 0;
  }
  return of_site >= limits::drawn_per_site || told >= limits::drawn_per_introducer;
}

/// A node to draw: one that has leave while few have it, else one within the shares.
member_entry* one_to_draw(member_table& m, bool share_counts) {
  crowd_state& c = m.crowd;
  const auto free = [&](const member_entry& one) {
    return one.where == member_standing::alive && !one.open && !c.drawn.contains(one.shown.node);
  };
  if (!share_counts) {
    return next_of(m, c.alive, free);
  }
  const auto with_leave = std::count_if(c.drawn.begin(), c.drawn.end(),
                                        [&m](const auto& one) { return has_leave(m, one.first); });
  if (m.told.strangers.size() > 0 && static_cast<std::size_t>(with_leave) < limits::drawn_leave) {
    member_entry* const trusted = next_of(m, c.trusted, [&](const member_entry& one) {
      return free(one) && has_leave(m, one.shown.node);
    });
    if (trusted != nullptr) {
      return trusted;
    }
  }
  return next_of(m, c.alive, [&](const member_entry& one) {
    return free(one) && !has_its_share(m, one.shown.node);
  });
}

/// As many as it wants, and a new one now and then.
void draw_neighbours(member_table& m, membership_time now, membership_effects& out) {
  crowd_state& c = m.crowd;
  std::erase_if(c.drawn, [&](const auto& one) {
    return !m.linked(one.first) && now - one.second > 2 * m.intervals(limits::dial_intervals);
  });
  if (now >= c.next_redraw && c.drawn.size() >= limits::neighbours_drawn) {
    c.next_redraw =
        now + m.intervals(m.lists() ? limits::lists_redraw_intervals : limits::redraw_intervals);
    c.drawn.erase(
        std::min_element(c.drawn.begin(), c.drawn.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; }));
  }
  // One beyond the share of its site was drawn when there was no better one.
  const auto excess = std::find_if(c.drawn.begin(), c.drawn.end(),
                                   [&](const auto& one) { return has_its_share(m, one.first); });
  if (c.drawn.size() >= limits::neighbours_drawn && excess == c.drawn.end()) {
    return;
  }
  member_entry* e = one_to_draw(m, true);
  if (e != nullptr && excess != c.drawn.end()) {
    c.drawn.erase(excess);
  } else if (e == nullptr && c.drawn.size() < limits::drawn_least) {
    e = one_to_draw(m, false);
  }
  if (e != nullptr) {
    c.drawn[e->shown.node] = now;
    if (!m.linked(e->shown.node)) {
      look_at(m, *e, now, out);
    }
  }
}

/// Closes links that this node opened and nobody needs any more.
void part_idle(member_table& m, membership_time now, membership_effects& out) {
  for (auto& [peer, l] : m.links) {
    if (!l.up || !l.ours || m.crowd.drawn.contains(peer) ||
        now - l.used < m.intervals(limits::idle_intervals)) {
      continue;
    }
    const member_entry* const e = m.look_up(peer);
    if (e != nullptr && e->open) {
      continue;
    }
    m.send(peer, parting{}, out);
    l.up = false;
    l.parted = true;
    out.emplace_back(part_link{peer});
  }
}

void sweep(member_table& m, membership_time now, membership_effects& out) {
  m.crowd.next_sweep = now + m.intervals(limits::sweep_intervals);
  check_allowed(m, now, out);
  forget_old_members(m, now);
  m.crowd.claims.clear();
  for (auto& [peer, l] : m.links) {
    l.claims = 0;
  }
}

} // namespace

void follow_size(member_table& m, membership_time now) {
  const std::size_t members = m.alive_count();
  if (!m.crowded() && members > m.options.full_mesh_max) {
    crowd_state& c = m.crowd;
    c.on = true;
    // Nodes that entered together do not all do the same at the same moment.
    const auto within = [&](std::uint32_t count) {
      const auto most = static_cast<std::uint64_t>(m.intervals(count).count() + 1);
      return now + std::chrono::milliseconds{m.random() % most};
    };
    c.next_look = within(limits::look_intervals);
    c.next_exchange = within(limits::catch_up_intervals);
    c.next_lost = within(limits::lost_intervals);
    c.next_redraw =
        now + m.intervals(limits::redraw_intervals) + (within(limits::redraw_intervals) - now);
    c.next_sweep = within(limits::sweep_intervals);
    c.latest.learns_until = now + m.intervals(limits::learning_intervals);
    for (auto& [node, e] : m.entries) {
      e.doomed = e.where == member_standing::suspect;
      if (e.open) {
        attend_at(m, node, e.open->deadline);
      }
      if (e.doomed) {
        attend_at(m, node, e.death);
      }
      if (m.counts(e.where)) {
        c.fresh.push_back({node, e.newest->incarnation, true});
      }
    }
  } else if (m.crowded() && members <= m.options.full_mesh_max / 4 * 3) {
    m.crowd = {};
    for (auto& [node, e] : m.entries) {
      e.death = now + m.options.suspect_timeout;
      e.contact = now;
      e.wait = std::chrono::milliseconds{0};
    }
    for (auto& [peer, l] : m.links) {
      l.fresh = 0;
    }
  }
}

bool may_advertise(member_table& m, const node_advert& next, membership_time now) {
  const node_advert& known = m.own.advert;
  const bool urgent = known.name != next.name || known.address != next.address ||
                      known.admin_address != next.admin_address || known.roles != next.roles ||
                      known.draining != next.draining || known.held != next.held ||
                      known.spares != next.spares || known.ask_ppm != next.ask_ppm;
  if (now < m.crowd.next_advert && !(urgent && m.crowd.urgent.spend(1, now))) {
    return false;
  }
  m.crowd.next_advert = now + m.thinned(static_cast<std::uint32_t>(m.alive_count()));
  return true;
}

bool may_refute_one(member_table& m, membership_time now) {
  const auto each = m.intervals(static_cast<std::uint32_t>(m.alive_count()));
  if (m.crowd.doubts_paid > now + limits::lone_doubts_burst * each) {
    return false;
  }
  m.crowd.doubts_paid = std::max(m.crowd.doubts_paid, now) + each;
  return true;
}

void crowd_tick(member_table& m, membership_time now, membership_effects& out) {
  crowd_state& c = m.crowd;
  attend_due(m, now, out);
  if (now >= m.next_probe) {
    m.next_probe = std::max(m.next_probe + m.options.probe_interval, now);
    std::erase_if(c.looking, [now](const auto& one) { return now >= one.second; });
    look_around(m, now, out);
    draw_neighbours(m, now, out);
    if (m.lists()) {
      exchange_latest(m, now, out);
    } else {
      spread_news(m, out);
    }
    exchange_digests(m, now, out);
    part_idle(m, now, out);
  }
  if (c.advert_waits && now >= c.next_advert && may_advertise(m, m.self.advert, now)) {
    m.raise(m.self.advert, now, out);
  }
  if (now >= c.next_sweep) {
    sweep(m, now, out);
  }
  if (c.fresh.size() > limits::fresh_max) {
    const std::size_t over = c.fresh.size() - limits::fresh_max / 2;
    c.fresh.erase(c.fresh.begin(), c.fresh.begin() + static_cast<std::ptrdiff_t>(over));
    c.fresh_first += over;
  }
}

void crowd_link_up(member_table& m, const node_id& peer, membership_time now,
                   membership_effects& out) {
  gossip_link& l = m.links.at(peer);
  l.fresh = m.crowd.fresh_first + m.crowd.fresh.size();
  m.crowd.looking.erase(peer);
  ++m.crowd.met;
  const member_entry* const e = m.look_up(peer);
  if (e != nullptr && !m.counts(e->where) && (e->was_member || !m.lists())) {
    // Where one of the lost is back, there may be more.
    m.crowd.lost_hopes = limits::short_links_max;
    m.crowd.next_lost = std::min(m.crowd.next_lost, now);
  }
  m.send(peer, news{}, out, {m.own});
}

void crowd_link_lost(member_table& m, member_entry& e, membership_time now,
                     membership_effects& out) {
  m.crowd.drawn.erase(e.shown.node);
  e.open.reset();
  if (m.counts(e.where)) {
    suspect(m, e, now, out); // for this node; it is accused when it cannot be reached
    look_at(m, e, now, out);
  }
}

void look_at(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  if (!e.open) {
    e.open = std::make_unique<open_probe>(
        open_probe{m.random(), now, now, false, m.linked(e.shown.node)});
    e.probed = now;
    ask(m, e, now, out);
  }
}

void doubt(member_table& m, std::span<const node_id> lacked, membership_time now,
           membership_effects& out) {
  if (lacked.empty() || lacked.size() > limits::doubtful_lines || now < m.crowd.latest.next_doubt ||
      m.crowd.looking.size() >= limits::short_links_max) {
    return;
  }
  member_entry* const e = m.look_up(lacked[m.random() % lacked.size()]);
  if (e != nullptr && e->where == member_standing::alive && !m.linked(e->shown.node) &&
      now - e->since >= m.intervals(limits::latest_offered)) {
    m.crowd.latest.next_doubt = now + m.intervals(limits::doubt_intervals);
    look_at(m, *e, now, out);
  }
}

void hear_accusation(member_table& m, member_entry& subject, const signed_suspicion& word,
                     membership_time now, membership_effects& out) {
  m.words(subject).accused_by[word.accuser] = now;
  m.tell(word, now, limits::accusers_min);
  if (m.random() % m.alive_count() < limits::lookers &&
      m.crowd.looking.size() < limits::short_links_max) {
    look_at(m, subject, now, out);
  }
  judge(m, subject, now, out);
}

void receive_parting(member_table& m, const node_id& from) {
  gossip_link* const l = m.link_of(from);
  if (l != nullptr) {
    l->up = false;
    l->parted = true;
    l->left = true;
    m.crowd.drawn.erase(from);
  }
}

} // namespace ovir::actors
