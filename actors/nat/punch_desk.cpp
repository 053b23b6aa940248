#include "actors/nat/punch_desk.hpp"

#include <utility>

namespace ovir::actors {

void punch_desk::send(const std::string& to, const punch_datagram& what, time_point now) {
  if (sends_.has(1, now)) {
    (void)sends_.spend(1, now);
    calls_.send(to, encode(what));
  }
}

void punch_desk::probe(std::uint64_t meeting, const std::string& helper, const punch_token& token,
                       time_point now) {
  probing p{helper, token, 1, now + limits::punch_every, now + limits::probe_wait};
  probes_.insert_or_assign(meeting, std::move(p));
  send(helper, {punch_kind::probe, token}, now);
}

void punch_desk::knock(std::uint64_t meeting, const punch_token& token,
                       const std::vector<std::string>& named, bool asks, time_point now) {
  if (named.empty()) {
    return;
  }
  knocking k{hole_punch{token, named}, asks, now + limits::punch_head_start, {}};
  const auto at = knocks_.insert_or_assign(meeting, std::move(k)).first;
  for (const std::string& to : at->second.holes.tick(now)) {
    send(to, {punch_kind::knock, token}, now);
  }
}

void punch_desk::heard(const std::string& from, const punch_token& token, time_point now) {
  for (auto& [meeting, k] : knocks_) {
    const hole_punch::hearing h = k.holes.heard(from, token);
    if (!h.counts) {
      continue;
    }
    if (h.answer) {
      send(from, {punch_kind::knock, token}, now);
    }
    if (k.asks && !k.connecting_until) {
      k.connecting_until = now + limits::punch_link_wait;
      const std::uint64_t number = meeting;
      calls_.connect(number, from); // which may forget it
    }
    return;
  }
}

void punch_desk::tick(time_point now) {
  std::vector<std::uint64_t> probed;
  for (auto& [meeting, p] : probes_) {
    if (now >= p.until) {
      probed.push_back(meeting);
    } else if (now >= p.next && p.sent < limits::probe_datagrams_max) {
      ++p.sent;
      p.next = now + limits::punch_every;
      send(p.helper, {punch_kind::probe, p.token}, now);
    }
  }
  std::vector<std::uint64_t> late;
  for (auto& [meeting, k] : knocks_) {
    if (k.connecting_until) {
      if (now >= *k.connecting_until) {
        late.push_back(meeting);
      }
      continue; // the way is open
    }
    for (const std::string& to : k.holes.tick(now)) {
      send(to, {punch_kind::knock, k.holes.token()}, now);
    }
  }
  for (const std::uint64_t meeting : probed) {
    probes_.erase(meeting);
    calls_.probed(meeting);
  }
  for (const std::uint64_t meeting : late) {
    knocks_.erase(meeting);
    calls_.late(meeting);
  }
}

void punch_desk::forget(std::uint64_t meeting) {
  probes_.erase(meeting);
  knocks_.erase(meeting);
}

bool punch_desk::is_hopeful(std::uint64_t meeting, time_point now) const {
  const auto at = knocks_.find(meeting);
  return at != knocks_.end() && (at->second.connecting_until || now < at->second.hope_until);
}

bool punch_desk::is_connecting(std::uint64_t meeting) const {
  const auto at = knocks_.find(meeting);
  return at != knocks_.end() && at->second.connecting_until;
}

} // namespace ovir::actors
