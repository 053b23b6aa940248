#include "actors/members/membership_core.hpp"

#include <algorithm>
#include <utility>

// What membership does as time passes: probes, deadlines, links that are wanted, news.
namespace ovir::actors {

/// Over the link there is, and through others where there is none or no time to try first.
void membership_core::begin_probe(entry& e, bool ask_at_once, time_point now, effects& out) {
  const bool direct = linked(e.shown.node);
  e.open = probe{random(), now, now + options_.probe_timeout, false, direct};
  e.probed = now;
  if (direct) {
    send(e.shown.node, ping{e.open->nonce}, out);
  }
  if (ask_at_once || !direct) {
    ask_others(e, out);
  }
}

void membership_core::ask_others(entry& e, effects& out) {
  e.open->others_asked = true;
  for (const node_id& helper : some_linked(options_.indirect_probes, e.shown.node)) {
    send(helper, probe_order{e.open->nonce, e.shown.node}, out);
  }
}

/// Probes nobody answered in time, and suspects whose time is over.
void membership_core::check_probes(time_point now, effects& out) {
  for (auto& [node, e] : entries_) {
    if (e.open && now >= e.open->deadline) {
      if (!e.open->others_asked) {
        e.open->deadline = now + options_.probe_timeout;
        ask_others(e, out);
      } else {
        e.open.reset();
        if (e.where == standing::alive) {
          make_suspect(e, now, out);
        }
      }
    }
    if (e.where == standing::suspect && now >= e.death) {
      bury(e, now, out);
    }
  }
}

/// A suspect is asked again and again, by every way, until it answers or is dead.
void membership_core::probe_suspects(time_point now, effects& out) {
  std::vector<entry*> due;
  for (auto& [node, e] : entries_) {
    if (e.where == standing::suspect && !e.open) {
      due.push_back(&e);
    }
  }
  std::stable_sort(due.begin(), due.end(),
                   [](const entry* a, const entry* b) { return a->probed < b->probed; });
  due.resize(std::min(due.size(), limits::probes_per_tick_max));
  for (entry* e : due) {
    begin_probe(*e, true, now, out);
  }
}

/// One member per interval, each once a round, in an order of chance: everyone is probed within two
/// rounds.
void membership_core::probe_next(time_point now, effects& out) {
  const auto wanted = [](const entry* e) {
    return e != nullptr && e->where == standing::alive && !e->open;
  };
  for (int round = 0; round < 2; ++round) {
    while (!probe_order_.empty()) {
      entry* e = look_up(probe_order_.back());
      probe_order_.pop_back();
      if (wanted(e)) {
        begin_probe(*e, false, now, out);
        return;
      }
    }
    for (const auto& [node, e] : entries_) {
      if (e.where == standing::alive) {
        probe_order_.push_back(node);
        std::swap(probe_order_.back(), probe_order_[random() % probe_order_.size()]);
      }
    }
  }
}

/// Leave to be a member may be withdrawn.
void membership_core::check_allowed(time_point now, effects& out) {
  for (auto& [node, e] : entries_) {
    const bool counted = e.where == standing::alive || e.where == standing::suspect;
    if (counted && !may_be(node, e.newest.advert.roles)) {
      queue_.forget(node);
      bury(e, now, out);
    }
  }
}

/// Pings alone carry news at one message an interval; a fan-out of three reaches everyone sooner.
void membership_core::spread_news(effects& out) {
  for (const node_id& to : some_linked(limits::gossip_fanout, self_.node)) {
    if (queue_.empty()) {
      return;
    }
    send(to, news{}, out);
  }
}

/// Members without a link, and the dead: a partition may be over, or the frozen may go on, and
/// neither side would speak first.
void membership_core::look_for_members(time_point now, effects& out) {
  std::size_t tried = 0;
  for (auto& [node, e] : entries_) {
    const bool up = linked(node);
    const bool told_only = !up && !e.was_member;
    const bool needed = e.where == standing::dead || e.where == standing::heard_of ||
                        (!up && e.where != standing::left);
    if (!needed || now < e.contact || !may_be(node, e.newest.advert.roles)) {
      continue;
    }
    if (tried++ == limits::contacts_per_tick_max) {
      return;
    }
    const auto longest =
        std::max(told_only ? limits::unreached_dial_wait_max : limits::contact_wait_max,
                 options_.probe_timeout);
    e.wait = std::clamp(2 * e.wait, options_.probe_timeout, longest);
    // Up to a quarter more, so that two nodes do not keep connecting at the same moments.
    const auto jitter = random() % static_cast<std::uint64_t>(e.wait.count() / 4 + 1);
    e.contact = now + e.wait + std::chrono::milliseconds{jitter};
    if (!up) {
      dial(e, now, out);
    }
    if (e.where == standing::heard_of && !told_only) {
      begin_probe(e, true, now, out);
    } else if (up) {
      send(node, ping{random()}, out); // with our accusation, which it can refute
    }
  }
}

/// Wants a link, unless that is an address of our own, or too often.
void membership_core::dial(entry& e, time_point now, effects& out) {
  const std::string& address = e.newest.advert.address;
  const node_id& account = e.was_member ? e.shown.node : e.introducer;
  if (!address.empty() && address != own_.advert.address &&
      dials_.may_dial(account, address, e.was_member, now)) {
    out.emplace_back(want_link{e.shown.node, address});
  }
}

/// Now and then everything with someone: heals what news that were lost left behind.
void membership_core::exchange(effects& out) {
  for (const node_id& to : some_linked(1, self_.node)) {
    send(to, summarize(true), out);
  }
}

void membership_core::forget_old(time_point now) {
  std::erase_if(entries_, [&](const auto& named) {
    const entry& e = named.second;
    const bool gone =
        e.where == standing::dead || e.where == standing::left || e.where == standing::heard_of;
    const auto lifetime = e.was_member ? options_.forget_dead : limits::unreached_lifetime;
    if (gone && now - e.since >= lifetime) {
      queue_.forget(named.first);
      return true;
    }
    return false;
  });
  std::erase_if(links_, [&](const auto& named) {
    return !named.second.up && entries_.find(named.first) == entries_.end();
  });
  dials_.forget_old(now);
}

} // namespace ovir::actors
