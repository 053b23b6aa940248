#include "actors/members/member_sums.hpp"

#include "actors/members/crowd_vouchers.hpp"

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

/// Buckets with about so many members.
std::size_t buckets_with(const member_table& m, std::size_t lines) {
  return std::clamp<std::size_t>(lines * limits::gossip_buckets / m.alive_count(), 4,
                                 limits::exchanged_buckets_max);
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
  const bool learns = m.lists() && m.told.unreached.size() > m.alive_count() / 64;
  m.crowd.next_exchange =
      now + (walks    ? m.intervals(limits::catch_up_intervals)
             : learns ? m.intervals(limits::latest_intervals)
                      : m.thinned(limits::exchange_intervals) / (m.lists() ? 2 : 1));
  for (const node_id& to : exchange_partners(m)) {
    if (walks && l.walked < limits::gossip_buckets) { // it lacks most of them: what they are is
                                                      // told without comparing
      bucket_set asked;
      for (std::size_t n = buckets_with(m, limits::walk_lines);
           n > 0 && l.walked < limits::gossip_buckets; --n) {
        asked.set((l.walked++ + bucket_of(m.self.node)) % limits::gossip_buckets);
      }
      m.send_summary(to, true, asked, out);
      continue;
    }
    if (walks) {
      break;
    }
    l.salt = m.random();
    m.send(to, digests{l.salt, sums_of(m, l.salt)}, out);
  }
}

void receive_digests(member_table& m, const digests& theirs, const node_id& from,
                     membership_time now, membership_effects& out) {
  if (!m.crowded()) {
    return;
  }
  std::vector<std::uint32_t> mine = sums_of(m, theirs.salt);
  take_vouchers(m, theirs, mine, from, now, out);
  const bool answered = m.lists() && theirs.salt == m.crowd.latest.salt;
  const std::size_t most =
      !m.lists() ? limits::exchanged_buckets_max
                 : buckets_with(m, answered ? limits::learned_lines : limits::lists_lines_max);
  bucket_set differ;
  std::size_t count = 0;
  const std::size_t first = m.random() % limits::gossip_buckets;
  for (std::size_t i = 0; i < limits::gossip_buckets; ++i) {
    const std::size_t b = (first + i) % limits::gossip_buckets;
    if (mine[b] != theirs.sums[b] && ++count <= most) {
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
