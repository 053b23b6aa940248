#include "actors/members/membership_core.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <utility>

// The events, and what they share: time, chance, sending, health. membership_probes.cpp holds what
// happens as time passes, membership_updates.cpp what is made of others' words.
namespace ovir::actors {

namespace {

/// Probe intervals between full exchanges with someone.
constexpr std::uint32_t exchange_intervals = 20;

/// Room for the body and the frame of a message beside its updates.
constexpr std::size_t body_bytes_max = 8U << 10U;

} // namespace

membership_core::membership_core(const secret_key& key, node_advert self, std::uint64_t incarnation,
                                 membership_options options, std::uint64_t seed,
                                 std::function<std::optional<role_set>(const node_id&)> allowed)
    : key_(key), options_(options), allowed_(std::move(allowed)),
      own_(sign_advert(key, incarnation, std::move(self))), random_state_(seed),
      dials_(options.probe_timeout) {
  self_.node = key.id();
  self_.incarnation = incarnation;
  self_.advert = own_.advert;
}

membership_core::effects membership_core::on_tick(time_point now) {
  effects out;
  if (goodbye_) {
    return out;
  }
  const bool first = !last_event_ || next_probe_ == time_point{};
  advance(now);
  if (first) {
    // Nodes started together do not all probe at the same moment.
    const auto interval = std::chrono::nanoseconds{options_.probe_interval}.count();
    next_probe_ =
        now + std::chrono::nanoseconds{random() % static_cast<std::uint64_t>(interval + 1)};
    next_exchange_ = now + exchange_intervals * options_.probe_interval;
  }
  refute_if_due(now, out);
  check_probes(now, out);
  probe_suspects(now, out);
  if (now >= next_probe_) {
    // Missed ones are not made up for.
    next_probe_ = std::max(next_probe_ + options_.probe_interval, now);
    check_allowed(now, out);
    forget_old(now);
    probe_next(now, out);
    spread_news(out);
  }
  if (now >= next_exchange_) {
    next_exchange_ = now + exchange_intervals * options_.probe_interval;
    exchange(out);
  }
  look_for_members(now, out);
  return out;
}

membership_core::effects membership_core::on_link_up(const node_id& peer, time_point now) {
  advance(now);
  effects out;
  link* l = link_of(peer);
  if (goodbye_ || l == nullptr || !allowed_(peer)) {
    return out;
  }
  l->up = true;
  l->forged = false;
  if (entry* e = look_up(peer)) {
    // A handshake just now is a sign of life.
    found_alive(*e, now, out);
  }
  send(peer, summarize(false), out, {own_});
  return out;
}

membership_core::effects membership_core::on_link_down(const node_id& peer, time_point now) {
  advance(now);
  effects out;
  links_.erase(peer);
  entry* e = look_up(peer);
  if (goodbye_ || e == nullptr) {
    return out;
  }
  // Answers to earlier questions may still lie in some buffer.
  e->open.reset();
  look_for_soon(*e, now);
  if (e->where == standing::alive) {
    make_suspect(*e, now, out);
  }
  if (e->where == standing::suspect) {
    begin_probe(*e, true, now, out);
  }
  return out;
}

membership_core::effects membership_core::advertise(node_advert self, time_point now) {
  advance(now);
  effects out;
  if (goodbye_) {
    return out;
  }
  raise(std::move(self), now, out);
  return out;
}

membership_core::effects membership_core::leave(time_point now) {
  advance(now);
  effects out;
  if (goodbye_) {
    return out;
  }
  goodbye_ = sign_farewell(key_, own_.incarnation + 1);
  self_.incarnation = goodbye_->incarnation;
  self_.health = member_health::left;
  for (const auto& [peer, l] : links_) {
    if (l.up) {
      send_all(peer, news{}, {*goodbye_}, out);
    }
  }
  return out;
}

std::vector<member> membership_core::members() const {
  std::vector<member> out;
  out.reserve(entries_.size() + 1);
  for (const auto& [node, e] : entries_) {
    if (e.was_member) {
      out.push_back(e.shown);
    }
  }
  const auto place =
      std::find_if(out.begin(), out.end(), [this](const member& m) { return m.node > self_.node; });
  out.insert(place, self_);
  return out;
}

const member* membership_core::find(const node_id& node) const {
  if (node == self_.node) {
    return &self_;
  }
  const auto it = entries_.find(node);
  return it != entries_.end() && it->second.was_member ? &it->second.shown : nullptr;
}

const node_id& membership_core::self() const noexcept { return self_.node; }

/// A node that was stopped, or whose machine was, finds every deadline passed when it goes on.
/// That says nothing of the others: its deadlines move by the time it missed.
void membership_core::advance(time_point now) {
  const auto interval = options_.probe_interval;
  if (last_event_ && now - *last_event_ > 2 * interval) {
    const auto missed = now - *last_event_ - interval;
    for (auto& [node, e] : entries_) {
      e.death += missed;
      if (e.open) {
        e.open->deadline += missed;
        e.open->measures = false;
      }
    }
  }
  last_event_ = std::max(now, last_event_.value_or(now));
}

/// splitmix64 (Steele, Lea, Flood 2014): one word of state, the same on every machine.
std::uint64_t membership_core::random() noexcept {
  random_state_ += 0x9e3779b97f4a7c15U;
  std::uint64_t z = random_state_;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

membership_core::entry* membership_core::look_up(const node_id& node) {
  const auto it = entries_.find(node);
  return it == entries_.end() ? nullptr : &it->second;
}

/// Null when there are too many; messages may come before their link is announced.
membership_core::link* membership_core::link_of(const node_id& peer) {
  const auto it = links_.find(peer);
  if (it != links_.end()) {
    return &it->second;
  }
  if (links_.size() >= limits::connections_max || peer == self_.node) {
    return nullptr;
  }
  const allowance traffic{limits::gossip_allowance, limits::gossip_refill, options_.probe_interval};
  return &links_.emplace(peer, link{false, false, traffic}).first->second;
}

bool membership_core::linked(const node_id& peer) const {
  const auto it = links_.find(peer);
  return it != links_.end() && it->second.up;
}

std::size_t membership_core::alive_count() const {
  return 1 + static_cast<std::size_t>(
                 std::count_if(entries_.begin(), entries_.end(), [](const auto& named) {
                   return named.second.where == standing::alive ||
                          named.second.where == standing::suspect;
                 }));
}

/// Up to `count` members that can be talked to, by chance.
std::vector<node_id> membership_core::some_linked(std::size_t count, const node_id& but_not) {
  std::vector<node_id> out;
  for (const auto& [node, e] : entries_) {
    if (e.where == standing::alive && node != but_not && linked(node)) {
      out.push_back(node);
    }
  }
  for (std::size_t i = 0; i < std::min(count, out.size()); ++i) {
    std::swap(out[i], out[i + random() % (out.size() - i)]);
  }
  out.resize(std::min(count, out.size()));
  return out;
}

/// `body` with `first` and some news. Whoever is suspected, dead or gone for us is told so: only it
/// can refute that.
void membership_core::send(const node_id& to, gossip_body body, effects& out,
                           std::vector<signed_update> first) {
  if (const entry* e = look_up(to)) {
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
  for (signed_update& u : queue_.take(to, alive_count(), limits::gossip_news_max, bytes)) {
    if (std::find(first.begin(), first.end(), u) == first.end()) {
      first.push_back(std::move(u));
    }
  }
  out.emplace_back(send_gossip{to, encode_gossip({std::move(body), std::move(first)})});
}

/// As many messages as it takes; the first has the body.
void membership_core::send_all(const node_id& to, gossip_body body,
                               std::vector<signed_update> updates, effects& out) const {
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
void membership_core::show(entry& e, bool health_changed, effects& out) {
  switch (e.where) {
  case standing::heard_of: // people see what it was, until it is heard from
    return;
  case standing::alive: e.shown.health = member_health::alive; break;
  case standing::suspect: e.shown.health = member_health::suspect; break;
  case standing::dead: e.shown.health = member_health::dead; break;
  case standing::left: e.shown.health = member_health::left; break;
  }
  e.shown.incarnation = e.reached();
  e.shown.advert = e.newest.advert;
  if (e.was_member) {
    out.emplace_back(member_changed{e.shown, health_changed});
  }
}

/// A new incarnation of this node, told to some at once.
void membership_core::raise(node_advert advert, time_point now, effects& out) {
  const std::uint64_t reached = std::max(own_.incarnation, incarnation_floor_);
  if (reached == std::numeric_limits<std::uint64_t>::max()) {
    return; // only this very key can have signed it
  }
  own_ = sign_advert(key_, reached + 1, std::move(advert));
  self_.incarnation = own_.incarnation;
  self_.advert = own_.advert;
  accused_ = false;
  raised_ = now;
  queue_.push(own_);
  for (const node_id& to : some_linked(std::bit_width(entries_.size()) + 1, self_.node)) {
    send(to, news{}, out);
  }
  for (const node_id& to : std::exchange(doubters_, {})) {
    send(to, news{}, out, {own_});
  }
}

/// Not more often than once an interval, or a liar could keep everyone busy with our adverts.
void membership_core::refute_if_due(time_point now, effects& out) {
  if (accused_ && (!raised_ || now - *raised_ >= options_.probe_interval)) {
    raise(own_.advert, now, out);
  }
}

/// It answered. The dead and those who left need a higher incarnation as well.
void membership_core::found_alive(entry& e, time_point now, effects& out) {
  e.open.reset();
  if (e.where != standing::heard_of && e.where != standing::suspect) {
    return;
  }
  if (!std::exchange(e.was_member, true)) {
    queue_.push(e.newest); // only now: this node vouches for what it reached
  }
  dials_.reached(e.newest.advert.address);
  e.where = standing::alive;
  e.since = now;
  e.accusation.reset();
  queue_.drop_suspicion(e.shown.node);
  show(e, true, out);
}

/// Entries that are no members and that this peer told of.
std::size_t membership_core::introduced_by(const node_id& peer) const {
  return static_cast<std::size_t>(
      std::count_if(entries_.begin(), entries_.end(), [&peer](const auto& named) {
        return !named.second.was_member && named.second.introducer == peer;
      }));
}

void membership_core::make_suspect(entry& e, time_point now, effects& out) {
  e.where = standing::suspect;
  e.since = now;
  e.death = now + options_.suspect_timeout;
  e.accusation = sign_suspicion(key_, e.shown.node, e.newest.incarnation);
  queue_.push(*e.accusation);
  show(e, true, out);
}

void membership_core::bury(entry& e, time_point now, effects& out) {
  e.where = standing::dead;
  e.since = now;
  e.open.reset();
  if (!e.accusation) {
    e.accusation = sign_suspicion(key_, e.shown.node, e.newest.incarnation);
  }
  look_for_soon(e, now);
  show(e, true, out);
}

/// One of two nodes connects: the lower name at once, the other when that did not help.
void membership_core::look_for_soon(entry& e, time_point now) const {
  const auto grace =
      self_.node < e.shown.node ? std::chrono::milliseconds{0} : 2 * options_.probe_timeout;
  const auto after_failures = e.wait > options_.probe_timeout ? e.wait : e.wait * 0;
  e.contact = now + grace + after_failures;
}

} // namespace ovir::actors
