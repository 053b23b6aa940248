#include "actors/members/member_probes.hpp"

#include "messages/mutant.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ovir::actors {

namespace {

void ask_others(member_table& m, member_entry& e, membership_effects& out) {
  e.open->others_asked = true;
  for (const node_id& helper : m.some_linked(m.options.indirect_probes, e.shown.node)) {
    m.send(helper, probe_order{e.open->nonce, e.shown.node}, out);
  }
}

} // namespace

bool dial(member_table& m, member_entry& e, membership_time now, membership_effects& out) {
  const std::string& address = e.newest->advert.address;
  const node_id& account = e.was_member ? e.shown.node : e.words->introducer;
  if (address.empty() || address == m.own.advert.address ||
      !m.dials.may_dial(account, address, e.was_member, now)) {
    return false;
  }
  out.emplace_back(want_link{e.shown.node, address});
  return true;
}

void begin_probe(member_table& m, member_entry& e, bool ask_at_once, membership_time now,
                 membership_effects& out) {
  const bool direct = m.linked(e.shown.node);
  e.open = std::make_unique<open_probe>(
      open_probe{m.random(), now, now + m.options.probe_timeout, false, direct});
  e.probed = now;
  if (direct) {
    m.send(e.shown.node, ping{e.open->nonce}, out);
  }
  if (ask_at_once || !direct) {
    ask_others(m, e, out);
  }
}

void check_probes(member_table& m, membership_time now, membership_effects& out) {
  for (auto& [node, e] : m.entries) {
    if (e.open && now >= e.open->deadline) {
      if (!e.open->others_asked && !OVIR_MUTANT("members_ask_nobody_else")) {
        e.open->deadline = now + m.options.probe_timeout;
        ask_others(m, e, out);
      } else {
        e.open.reset();
        if (e.where == member_standing::alive) {
          m.make_suspect(e, now, out);
        }
      }
    }
    if (e.where == member_standing::suspect && now >= e.death) {
      if (!OVIR_MUTANT("members_never_die")) {
        m.bury(e, now, out);
      }
    }
  }
}

void probe_suspects(member_table& m, membership_time now, membership_effects& out) {
  std::vector<member_entry*> due;
  for (auto& [node, e] : m.entries) {
    if (e.where == member_standing::suspect && !e.open) {
      due.push_back(&e);
    }
  }
  std::stable_sort(due.begin(), due.end(), [](const member_entry* a, const member_entry* b) {
    return a->probed < b->probed;
  });
  due.resize(std::min(due.size(), limits::probes_per_tick_max));
  for (member_entry* e : due) {
    begin_probe(m, *e, true, now, out);
  }
}

void probe_next(member_table& m, membership_time now, membership_effects& out) {
  const auto wanted = [](const member_entry* e) {
    return e != nullptr && e->where == member_standing::alive && !e->open;
  };
  for (int round = 0; round < 2; ++round) {
    while (!m.probe_round.empty()) {
      member_entry* e = m.look_up(m.probe_round.back());
      m.probe_round.pop_back();
      if (wanted(e)) {
        begin_probe(m, *e, false, now, out);
        return;
      }
    }
    for (const auto& [node, e] : m.entries) {
      if (e.where == member_standing::alive) {
        m.probe_round.push_back(node);
        std::swap(m.probe_round.back(), m.probe_round[m.random() % m.probe_round.size()]);
      }
    }
  }
}

void check_allowed(member_table& m, membership_time now, membership_effects& out) {
  for (auto& [node, e] : m.entries) {
    const bool counted = e.where == member_standing::alive || e.where == member_standing::suspect;
    m.forget_words(e, now);
    if (m.told.strangers.of(node) != nullptr && !m.is_stranger(node)) {
      m.told.strangers.leave(node); // it has leave since, or is out
    }
    if (counted && !m.may_be(node, e.newest->advert.roles)) {
      m.queue.forget(node);
      m.bury(e, now, out);
    }
  }
}

void spread_news(member_table& m, membership_effects& out) {
  if (m.crowded() && m.queue.empty()) {
    return;
  }
  for (const node_id& to : m.some_linked(limits::gossip_fanout, m.self.node)) {
    if (m.queue.empty()) {
      return;
    }
    m.send(to, news{}, out);
  }
}

void look_for_members(member_table& m, membership_time now, membership_effects& out) {
  std::size_t tried = 0;
  const std::size_t most = m.entries.size() > m.options.full_mesh_max
                               ? limits::crowd_contacts_max // more than a few links are in vain
                               : limits::contacts_per_tick_max;
  for (auto& [node, e] : m.entries) {
    const bool up = m.linked(node);
    const bool told_only = !up && !e.was_member;
    const bool needed = e.where == member_standing::dead || e.where == member_standing::heard_of ||
                        (!up && e.where != member_standing::left);
    if (!needed || now < e.contact || OVIR_MUTANT("members_look_for_nobody") ||
        !m.may_be(node, e.newest->advert.roles)) {
      continue;
    }
    if (tried++ == most) {
      return;
    }
    const auto longest =
        std::max(told_only ? limits::unreached_dial_wait_max : limits::contact_wait_max,
                 m.options.probe_timeout);
    e.wait = std::clamp(2 * e.wait, m.options.probe_timeout, longest);
    // Up to a quarter more, so that two nodes do not keep connecting at the same moments.
    const auto jitter = m.random() % static_cast<std::uint64_t>(e.wait.count() / 4 + 1);
    e.contact = now + e.wait + std::chrono::milliseconds{jitter};
    if (!up) {
      dial(m, e, now, out);
    }
    if (e.where == member_standing::heard_of && !told_only) {
      begin_probe(m, e, true, now, out);
    } else if (up) {
      m.send(node, ping{m.random()}, out); // with our accusation, which it can refute
    }
  }
}

void exchange_summaries(member_table& m, membership_effects& out) {
  for (const node_id& to : m.some_linked(1, m.self.node)) {
    m.send_summary(to, true, bucket_set{}.set(), out);
  }
}

void forget_old_members(member_table& m, membership_time now) {
  std::vector<node_id> old;
  for (const auto* const nodes : {&m.told.gone, &m.told.unreached}) {
    std::copy_if(nodes->begin(), nodes->end(), std::back_inserter(old), [&](const node_id& node) {
      const member_entry* const e = m.look_up(node);
      return now - e->since >= (e->was_member ? m.options.forget_dead : limits::unreached_lifetime);
    });
  }
  for (const node_id& node : old) {
    m.erase(m.entries.find(node));
  }
  std::erase_if(m.links, [&](const auto& named) {
    return !named.second.up && m.entries.find(named.first) == m.entries.end();
  });
  m.dials.forget_old(now);
}

} // namespace ovir::actors
