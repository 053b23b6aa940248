#include "actors/members/member_sums.hpp"

#include "actors/members/crowd_vouchers.hpp"
#include "actors/members/member_asks.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace ovir::actors {

namespace {

std::uint32_t part_of_sum(std::uint64_t salt, const node_id& node, std::uint64_t incarnation) {
  std::uint64_t z = node_hash{salt}(node) ^ incarnation * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 30U)) * 0x94d049bb133111ebU;
  return static_cast<std::uint32_t>(z >> 32U);
}

std::vector<std::uint32_t> sums_of(const member_table& m, std::uint64_t salt) {
  std::vector<std::uint32_t> sums(limits::gossip_buckets);
  const auto count = [&](const node_id& node, std::uint64_t incarnation) {
    sums[bucket_of(node)] += part_of_sum(salt, node, incarnation);
  };
  count(m.self.node, m.own.incarnation);
  for (const auto& [node, e] : m.entries) {
    if (m.counts(e.where)) {
      count(node, e.newest->incarnation);
    }
  }
  return sums;
}

// Of a bucket that is not to be compared.
constexpr std::uint32_t not_compared = 0xffffffffU;

/// In a large crowd there are always some that a neighbour has not heard of yet: what came of them
/// lately is for lists, and comparing their buckets would tell nothing else.
void leave_out_latest(const member_table& m, std::vector<std::uint32_t>& sums,
                      membership_time now) {
  const membership_time lately = now - m.intervals(limits::latest_offered);
  for (const latest_life& one : m.crowd.latest.lives) {
    if (one.at >= lately) {
      sums[bucket_of(one.node)] = not_compared;
    }
  }
  for (const latest_case& one : m.crowd.latest.cases) {
    if (one.doomed && one.at + m.suspicion_time() >= lately) {
      sums[bucket_of(one.node)] = not_compared;
    }
  }
}

/// Buckets with about so many members.
std::size_t buckets_with(const member_table& m, std::size_t lines) {
  return std::clamp<std::size_t>(lines * limits::gossip_buckets / m.alive_count(), 4,
                                 limits::exchanged_buckets_max);
}

/// As many as tell of about limits::walk_lines, by what came of those before.
std::size_t walk_step(member_table& m) {
  const std::size_t walked = m.crowd.latest.walked;
  if (walked == 0) {
    return limits::walk_first_buckets;
  }
  bucket_set before;
  for (std::size_t n = 0; n < walked; ++n) {
    before.set((n + bucket_of(m.self.node)) % limits::gossip_buckets);
  }
  std::size_t found = 0;
  m.each_in(before, [&found](const member_entry&) { ++found; });
  return std::clamp<std::size_t>(limits::walk_lines * walked / std::max<std::size_t>(found, 1), 4,
                                 limits::exchanged_buckets_max);
}

/// A newcomer asks its neighbours in turn, so that none is asked for more than it answers.
node_id next_asked(member_table& m, const node_id& by_chance) {
  node_id& asked = m.crowd.latest.asked;
  auto at = m.links.upper_bound(asked);
  for (std::size_t i = 0; i < m.links.size(); ++i, ++at) {
    at = at == m.links.end() ? m.links.begin() : at;
    const member_entry* const e = at->second.up ? m.look_up(at->first) : nullptr;
    if (e != nullptr && e->where == member_standing::alive) {
      asked = at->first;
      return asked;
    }
  }
  return by_chance;
}

/// Where their sum is that of what this node counts and of all that it only heard of, they count
/// all of these.
void take_vouchers(member_table& m, const digests& theirs, std::vector<std::uint32_t>& mine,
                   const node_id& from, membership_time now, membership_effects& out) {
  std::map<std::size_t, std::vector<known_node>> heard;
  for (const node_id& node : m.told.unreached) {
    heard[bucket_of(node)].push_back({node, m.look_up(node)->newest->incarnation, true});
  }
  for (const auto& [bucket, nodes] : heard) {
    std::uint32_t with = mine[bucket];
    for (const known_node& one : nodes) {
      with += part_of_sum(theirs.salt, one.node, one.incarnation);
    }
    if (with == theirs.sums[bucket]) {
      mine[bucket] = with;
      for (const known_node& one : nodes) {
        hear_counted(m, one, from, now, out);
      }
    }
  }
}

} // namespace

std::vector<node_id> exchange_partners(member_table& m) {
  std::vector<node_id> partners = m.some_linked(1, m.self.node);
  if (m.told.strangers.size() > 0) { // of many links most may be to strangers who tell nothing
    const auto trusted = [&m](const auto& l) { return l.second.up && !m.is_stranger(l.first); };
    if (const auto count = std::count_if(m.links.begin(), m.links.end(), trusted); count > 0) {
      auto at = std::find_if(m.links.begin(), m.links.end(), trusted);
      for (auto n = m.random() % static_cast<std::uint64_t>(count); n > 0; --n) {
        at = std::find_if(std::next(at), m.links.end(), trusted);
      }
      partners.push_back(at->first);
    }
  }
  return partners;
}

void exchange_digests(member_table& m, membership_time now, membership_effects& out) {
  if (now < m.crowd.next_exchange) {
    return;
  }
  latest_state& l = m.crowd.latest;
  const bool walks = m.lists() && l.walked < limits::gossip_buckets;
  const bool lacks = m.lists() && m.told.unreached.size() > m.alive_count() / 64;
  if (walks || lacks) {
    l.learns_until = now + m.intervals(limits::learning_intervals);
  }
  m.crowd.next_exchange = now + (walks || lacks ? m.intervals(limits::catch_up_intervals)
                                 : m.lists() && m.learns(now)
                                     ? m.intervals(limits::latest_intervals)
                                     : m.thinned(limits::exchange_intervals) / (m.lists() ? 4 : 1));
  std::vector<node_id> partners = exchange_partners(m);
  if ((walks || lacks) && !partners.empty()) {
    partners.front() = next_asked(m, partners.front());
  }
  for (const node_id& to : partners) {
    if (walks) { // it lacks most of them: what they are is told without comparing
      bucket_set asked;
      for (std::size_t n = walk_step(m); n > 0 && l.walked < limits::gossip_buckets; --n) {
        asked.set((l.walked++ + bucket_of(m.self.node)) % limits::gossip_buckets);
      }
      if (asked.any()) {
        m.send_summary(to, true, asked, out);
      }
    } else if (!lacks || !ask_for_vouchers(m, to, out)) {
      l.salt = m.random();
      digests ours{l.salt, sums_of(m, l.salt)};
      if (m.lists() && m.random() % limits::compare_all_share != 0) {
        leave_out_latest(m, ours.sums, now);
      }
      m.send(to, std::move(ours), out);
    }
  }
}

void receive_digests(member_table& m, const digests& theirs, const node_id& from,
                     membership_time now, membership_effects& out) {
  if (!m.crowded()) {
    return;
  }
  std::vector<std::uint32_t> mine = sums_of(m, theirs.salt);
  take_vouchers(m, theirs, mine, from, now, out);
  if (m.lists() &&
      std::find(theirs.sums.begin(), theirs.sums.end(), not_compared) != theirs.sums.end()) {
    leave_out_latest(m, mine, now);
  }
  const bool answered = m.lists() && theirs.salt == m.crowd.latest.salt;
  const std::size_t most =
      !m.lists() ? limits::exchanged_buckets_max
                 : buckets_with(m, answered ? limits::learned_lines : limits::lists_lines_max);
  bucket_set differ;
  std::size_t count = 0;
  const std::size_t first = m.random() % limits::gossip_buckets;
  for (std::size_t i = 0; i < limits::gossip_buckets; ++i) {
    const std::size_t b = (first + i) % limits::gossip_buckets;
    const bool compared = mine[b] != not_compared && theirs.sums[b] != not_compared;
    if (compared && mine[b] != theirs.sums[b] && ++count <= most) {
      differ.set(b);
    }
  }
  if (m.lists() && !answered && count >= limits::much_differs) {
    m.send(from, digests{theirs.salt, sums_of(m, theirs.salt)}, out);
  } else if (differ.any()) {
    m.send_summary(from, true, differ, out);
  }
}

} // namespace ovir::actors
