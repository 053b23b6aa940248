#include "actors/members/member_table.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

namespace ovir::actors {

namespace {

/// Room for the body and the frame of a message beside its updates.
constexpr std::size_t body_bytes_max = 8U << 10U;

} // namespace

/// A node that was stopped, or whose machine was, finds every deadline passed when it goes on.
/// That says nothing of the others: its deadlines move by the time it missed.
void member_table::advance(time_point now) {
  const auto interval = options.probe_interval;
  if (last_event && now - *last_event > 2 * interval) {
    const auto missed = now - *last_event - interval;
    for (auto& [node, e] : entries) {
      e.death += missed;
      if (e.open) {
        e.open->deadline += missed;
        e.open->measures = false;
      }
    }
  }
  last_event = std::max(now, last_event.value_or(now));
}

/// splitmix64 (Steele, Lea, Flood 2014): one word of state, the same on every machine.
std::uint64_t member_table::random() noexcept {
  random_state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = random_state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

member_entry* member_table::look_up(const node_id& node) {
  const auto it = entries.find(node);
  return it == entries.end() ? nullptr : &it->second;
}

/// Null when there are too many; messages may come before their link is announced.
gossip_link* member_table::link_of(const node_id& peer) {
  const auto it = links.find(peer);
  if (it != links.end()) {
    return &it->second;
  }
  if (links.size() >= limits::connections_max || peer == self.node) {
    return nullptr;
  }
  const allowance traffic{limits::gossip_allowance, limits::gossip_refill, options.probe_interval};
  return &links.emplace(peer, gossip_link{false, false, traffic}).first->second;
}

bool member_table::linked(const node_id& peer) const {
  const auto it = links.find(peer);
  return it != links.end() && it->second.up;
}

std::size_t member_table::alive_count() const {
  return 1 + static_cast<std::size_t>(
                 std::count_if(entries.begin(), entries.end(), [](const auto& named) {
                   return named.second.where == member_standing::alive ||
                          named.second.where == member_standing::suspect;
                 }));
}

/// Up to `count` members that can be talked to, by chance.
std::vector<node_id> member_table::some_linked(std::size_t count, const node_id& but_not) {
  std::vector<node_id> out;
  for (const auto& [node, e] : entries) {
    if (e.where == member_standing::alive && node != but_not && linked(node)) {
      out.push_back(node);
    }
  }
  for (std::size_t i = 0; i < std::min(count, out.size()); ++i) {
    std::swap(out[i], out[i + random() % (out.size() - i)]);
  }
  out.resize(std::min(count, out.size()));
  return out;
}

/// `body` with `first` and some news. A node that this one suspects, or
/// takes for dead or gone, is told so: it alone can refute that.
void member_table::send(const node_id& to, gossip_body body, effects& out,
                        std::vector<signed_update> first) {
  if (const member_entry* e = look_up(to)) {
    if (e->accusation) {
      first.emplace_back(*e->accusation);
    }
    if (e->farewell) {
      first.emplace_back(*e->farewell);
    }
  }
  std::size_t bytes = limits::gossip_bytes_max - body_bytes_max;
  for (const signed_update& u : first) {
    bytes -= encoded_bytes(u);
  }
  for (signed_update& u : queue.take(to, alive_count(), limits::gossip_news_max, bytes)) {
    if (std::find(first.begin(), first.end(), u) == first.end()) {
      first.push_back(std::move(u));
    }
  }
  out.emplace_back(send_gossip{to, encode_gossip({std::move(body), std::move(first)})});
}

/// As many messages as it takes; the first has the body.
void member_table::send_all(const node_id& to, gossip_body body, std::vector<signed_update> updates,
                            effects& out) const {
  gossip_message next{std::move(body), {}};
  std::size_t bytes = body_bytes_max;
  for (signed_update& u : updates) {
    const std::size_t more = encoded_bytes(u);
    if (bytes + more > limits::gossip_bytes_max ||
        next.updates.size() == limits::gossip_updates_max) {
      out.emplace_back(send_gossip{to, encode_gossip(next)});
      next = {news{}, {}};
      bytes = body_bytes_max;
    }
    bytes += more;
    next.updates.push_back(std::move(u));
  }
  out.emplace_back(send_gossip{to, encode_gossip(next)});
}

/// Brings what people see of `e` up to date and tells the shell.
void member_table::show(member_entry& e, bool health_changed, effects& out) {
  switch (e.where) {
  case member_standing::heard_of: // people see what it was, until it is heard from
    return;
  case member_standing::alive: e.shown.health = member_health::alive; break;
  case member_standing::suspect: e.shown.health = member_health::suspect; break;
  case member_standing::dead: e.shown.health = member_health::dead; break;
  case member_standing::left: e.shown.health = member_health::left; break;
  }
  e.shown.incarnation = e.reached();
  e.shown.advert = e.newest.advert;
  if (e.was_member) {
    out.emplace_back(member_changed{e.shown, health_changed});
  }
}

/// A new incarnation of this node, told to some at once.
void member_table::raise(node_advert advert, time_point now, effects& out) {
  const std::uint64_t reached = std::max(own.incarnation, incarnation_floor);
  if (reached == std::numeric_limits<std::uint64_t>::max()) {
    return; // only this very key can have signed it
  }
  own = sign_advert(key, reached + 1, std::move(advert));
  self.incarnation = own.incarnation;
  self.advert = own.advert;
  accused = false;
  raised = now;
  queue.push(own);
  for (const node_id& to : some_linked(std::bit_width(entries.size()) + 1, self.node)) {
    send(to, news{}, out);
  }
  for (const node_id& to : std::exchange(doubters, {})) {
    send(to, news{}, out, {own});
  }
}

/// Not more often than once an interval, or a liar could keep everyone busy with our adverts.
void member_table::refute_if_due(time_point now, effects& out) {
  if (accused && (!raised || now - *raised >= options.probe_interval)) {
    raise(own.advert, now, out);
  }
}

/// It answered. The dead and those who left need a higher incarnation as well.
void member_table::found_alive(member_entry& e, time_point now, effects& out) {
  e.open.reset();
  if (e.where != member_standing::heard_of && e.where != member_standing::suspect) {
    return;
  }
  if (!std::exchange(e.was_member, true)) {
    queue.push(e.newest); // only now: this node vouches for what it reached
  }
  dials.reached(e.newest.advert.address);
  e.where = member_standing::alive;
  e.since = now;
  e.accusation.reset();
  queue.drop_suspicion(e.shown.node);
  show(e, true, out);
}

/// Entries that are no members and that this peer told of.
std::size_t member_table::introduced_by(const node_id& peer) const {
  return static_cast<std::size_t>(
      std::count_if(entries.begin(), entries.end(), [&peer](const auto& named) {
        return !named.second.was_member && named.second.introducer == peer;
      }));
}

void member_table::make_suspect(member_entry& e, time_point now, effects& out) {
  e.where = member_standing::suspect;
  e.since = now;
  e.death = now + options.suspect_timeout;
  e.accusation = sign_suspicion(key, e.shown.node, e.newest.incarnation);
  queue.push(*e.accusation);
  show(e, true, out);
}

void member_table::bury(member_entry& e, time_point now, effects& out) {
  e.where = member_standing::dead;
  e.since = now;
  e.open.reset();
  if (!e.accusation) {
    e.accusation = sign_suspicion(key, e.shown.node, e.newest.incarnation);
  }
  look_for_soon(e, now);
  show(e, true, out);
}

/// One of two nodes connects: the lower name at once, the other when that did not help.
void member_table::look_for_soon(member_entry& e, time_point now) const {
  const auto grace =
      self.node < e.shown.node ? std::chrono::milliseconds{0} : 2 * options.probe_timeout;
  const auto after_failures = e.wait > options.probe_timeout ? e.wait : e.wait * 0;
  e.contact = now + grace + after_failures;
}

bool member_table::may_be(const node_id& node, role_set roles) const {
  const auto permitted = allowed(node);
  return permitted && roles.within(*permitted);
}

summary member_table::summarize(bool answer_wanted) const {
  summary s{answer_wanted, {{self.node, own.incarnation, true}}};
  for (const auto& [node, e] : entries) {
    const bool counted = e.where == member_standing::alive || e.where == member_standing::suspect;
    s.nodes.push_back({node, e.reached(), counted});
  }
  return s;
}

} // namespace ovir::actors
