#include "actors/nat/relay_book.hpp"

#include "actors/nat/address_rules.hpp"
#include "messages/limits/carriage.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

using relay_clock = relay_book::time_point::clock;

/// How long a key's rate allows for so many bytes.
relay_clock::duration worth_of(std::uint64_t bytes) {
  constexpr std::uint64_t nanoseconds = 1'000'000'000;
  return std::chrono::duration_cast<relay_clock::duration>(
      std::chrono::nanoseconds{bytes * nanoseconds / limits::relay_key_bytes_per_second});
}

// So a count reaches at most one part further than the one before it.
static_assert(limits::relay_window_bytes < limits::relay_part_bytes);
static_assert(limits::relay_key_bytes_burst < ~std::uint64_t{0} / 1'000'000'000);

} // namespace

relay_book::effects relay_book::connected(connection_id guest_id, const node_id& node,
                                          const std::string& seen, time_point now,
                                          const punch_token& probe) {
  const auto of_key = std::count_if(guests_.begin(), guests_.end(),
                                    [&node](const auto& g) { return g.second.node == node; });
  if (guests_.size() >= limits::helper_guests_max ||
      static_cast<std::size_t>(of_key) >= limits::helper_guests_per_key_max) {
    return {{guest_id, std::nullopt, "this helper has as many guests as it may have"}};
  }
  using std::chrono::milliseconds;
  guest fresh{
      node,
      seen,
      probe,
      {},
      false,
      {},
      allowance{limits::helper_asks_burst, limits::helper_asks_refill, milliseconds{1'000}}};
  fresh.idle_since = now;
  guests_.insert_or_assign(guest_id, std::move(fresh));
  if (!is_numeric_address(seen)) {
    return {};
  }
  address_seen word{seen, self_.sign(seen_domain, seen_statement(node, seen)), false, probe};
  return {{guest_id, std::move(word), {}}};
}

relay_book::effects relay_book::probed(const punch_token& probe, const std::string& from,
                                       time_point now) {
  const auto found = std::find_if(guests_.begin(), guests_.end(),
                                  [&probe](const auto& g) { return g.second.probe == probe; });
  if (probe == punch_token{} || found == guests_.end() || !is_numeric_address(from)) {
    return {};
  }
  guest& g = found->second;
  if (g.seen_udp == from || host_of(from) != host_of(g.seen) || !g.asks.spend(1, now)) {
    return {};
  }
  g.seen_udp = from;
  address_seen word{from, self_.sign(seen_udp_domain, seen_statement(g.node, from)), true, probe};
  return {{found->first, std::move(word), {}}};
}

relay_book::effects relay_book::received(connection_id from, const nat_message& message,
                                         time_point now) {
  effects out;
  const auto found = guests_.find(from);
  if (found == guests_.end()) {
    return out; // it was put out, and what it sent before is still coming
  }
  found->second.idle_since = now;
  std::visit([&](const auto& m) { on(from, found->second, m, now, out); }, message);
  return out;
}

relay_book::effects relay_book::closed(connection_id guest_id, time_point now) {
  effects out;
  forget(guest_id, now, out);
  return out;
}

void relay_book::forget(connection_id guest_id, time_point now, effects& out) {
  const auto found = guests_.find(guest_id);
  if (found == guests_.end()) {
    return;
  }
  if (const auto at = held_.find(found->second.node); at != held_.end() && at->second == guest_id) {
    held_.erase(at);
  }
  std::erase_if(meetings_, [guest_id](const auto& m) { return m.second.asker == guest_id; });
  std::vector<stream_number> ended;
  for (const auto& [number, s] : streams_) {
    if (s.ends[0].guest == guest_id || s.ends[1].guest == guest_id) {
      ended.push_back(number);
    }
  }
  for (const stream_number number : ended) {
    end(number, stream_ending::closed, guest_id, now, out);
  }
  guests_.erase(guest_id);
}

void relay_book::put_out(connection_id guest_id, std::string reason, time_point now, effects& out) {
  forget(guest_id, now, out);
  out.push_back({guest_id, std::nullopt, std::move(reason)});
}

// Where members can be met

void relay_book::on(connection_id from, guest& g, const helper_join& m, time_point, effects&) {
  g.joined = true;
  g.told = m;
  held_[g.node] = from;
}

const relay_book::guest* relay_book::held(const node_id& node) const {
  const auto at = held_.find(node);
  return at == held_.end() ? nullptr : &guests_.at(at->second);
}

void relay_book::on(connection_id from, guest& g, const helper_ask& m, time_point now,
                    effects& out) {
  if (!g.asks.spend(1, now)) {
    return; // it asks again, or another helper
  }
  helper_answer answer{m.nonce, false, false, relays_for(g.node), {}};
  if (const guest* const there = held(m.node)) {
    answer.held = true;
    answer.reachable = there->told.reachable;
    answer.addresses = there->told.addresses;
  }
  out.push_back({from, std::move(answer), {}});
}

void relay_book::on(connection_id from, guest& g, const meeting& m, time_point now, effects& out) {
  if (!g.asks.spend(1, now)) {
    return;
  }
  meeting told{m.nonce, g.node, m.answers, m.mapping, {}, {}};
  if (is_numeric_address(g.seen)) {
    told.addresses.push_back(g.seen);
  }
  for (const std::string& one : m.addresses) {
    if (told.addresses.size() < limits::nat_addresses_max && one != g.seen) {
      told.addresses.push_back(one);
    }
  }
  if (!g.seen_udp.empty()) { // what was not seen is not dialled: the host is the connection's
    told.udp.push_back(g.seen_udp);
    for (const std::string& one : m.udp) {
      if (told.udp.size() < limits::nat_addresses_max && one != g.seen_udp) {
        told.udp.push_back(one);
      }
    }
  }
  if (m.answers) {
    // Only who was asked answers, once, and whom it was asked by.
    const auto open = meetings_.find({m.nonce, g.node});
    if (open != meetings_.end() && open->second.node == m.node && now < open->second.until) {
      out.push_back({open->second.asker, std::move(told), {}});
      meetings_.erase(open);
    }
    return;
  }
  const auto at = held_.find(m.node);
  if (at == held_.end() || m.node == g.node || meetings_.size() >= limits::helper_meetings_max ||
      meetings_.contains({m.nonce, m.node})) {
    out.push_back({from, helper_answer{m.nonce, false, false, relays_for(g.node), {}}, {}});
    return;
  }
  meetings_[{m.nonce, m.node}] = {from, g.node, now + limits::helper_meeting_lifetime};
  out.push_back({at->second, std::move(told), {}});
}

void relay_book::on(connection_id from, guest&, const address_seen&, time_point now, effects& out) {
  put_out(from, "only a helper tells where it sees a node", now, out);
}

void relay_book::on(connection_id from, guest&, const helper_answer&, time_point now,
                    effects& out) {
  put_out(from, "only a helper answers questions", now, out);
}

// Streams

relay_book::key_use& relay_book::use_of(const node_id& key, time_point now) {
  if (uses_.size() >= limits::relay_keys_max && !uses_.contains(key)) {
    // One without streams, whose period began first. There is one: streams are fewer than keys.
    auto oldest = uses_.end();
    for (auto u = uses_.begin(); u != uses_.end(); ++u) {
      if (u->second.opened + u->second.lead_to == 0 &&
          (oldest == uses_.end() || u->second.since < oldest->second.since)) {
        oldest = u;
      }
    }
    uses_.erase(oldest);
  }
  static_assert(2 * limits::relay_streams_max < limits::relay_keys_max);
  const auto [at, fresh] = uses_.try_emplace(key);
  if (fresh || now >= at->second.since + limits::relay_period) {
    at->second.since = now;
    at->second.bytes = 0;
  }
  return at->second;
}

stream_ending relay_book::may_open(const guest& g, connection_id from, const node_id& to) {
  if (!relays_for(g.node)) {
    return stream_ending::refused;
  }
  const auto at = held_.find(to);
  if (at == held_.end() || at->second == from || to == g.node) {
    return stream_ending::absent;
  }
  const auto of_pair = std::count_if(streams_.begin(), streams_.end(), [&](const auto& s) {
    return s.second.ends[0].node == g.node && s.second.ends[1].node == to;
  });
  const auto opened = [this](const node_id& key) {
    const auto use = uses_.find(key);
    return use == uses_.end() ? key_use{} : use->second;
  };
  const bool full = streams_.size() >= limits::relay_streams_max ||
                    opened(g.node).opened >= limits::relay_streams_by_key_max ||
                    opened(to).lead_to >= limits::relay_streams_to_key_max ||
                    static_cast<std::size_t>(of_pair) >= limits::relay_streams_of_pair_max;
  return full ? stream_ending::full : stream_ending::closed;
}

void relay_book::on(connection_id from, guest& g, const stream_open& m, time_point now,
                    effects& out) {
  if (m.stream % 2 != 0 || numbers_.contains({from, m.stream})) {
    return put_out(from, "a stream is opened under a number that is not free", now, out);
  }
  const stream_ending why = may_open(g, from, m.node);
  if (why != stream_ending::closed) {
    out.push_back({from, stream_end{m.stream, why}, {}});
    return;
  }
  const connection_id to = held_.at(m.node);
  guest& there = guests_.at(to);
  while (numbers_.contains({to, there.next_stream})) {
    there.next_stream += 2;
  }
  const std::uint32_t number = std::exchange(there.next_stream, there.next_stream + 2);
  stream fresh;
  fresh.ends[0] = {from, m.stream, g.node, {}};
  fresh.ends[1] = {to, number, m.node, {}};
  fresh.session = m.session;
  fresh.opened = now;
  numbers_[{from, m.stream}] = ++last_stream_;
  numbers_[{to, number}] = last_stream_;
  streams_.emplace(last_stream_, std::move(fresh));
  ++use_of(g.node, now).opened;
  ++use_of(m.node, now).lead_to;
  ++g.streams;
  ++there.streams;
  out.push_back({to, stream_open{number, g.node, m.session}, {}});
}

std::optional<std::pair<relay_book::stream_number, std::size_t>>
relay_book::find(connection_id from, std::uint32_t number) const {
  const auto at = numbers_.find({from, number});
  if (at == numbers_.end()) {
    return std::nullopt;
  }
  const stream& s = streams_.at(at->second);
  const bool first = s.ends[0].guest == from && s.ends[0].number == number;
  return std::pair{at->second, first ? std::size_t{0} : std::size_t{1}};
}

void relay_book::on(connection_id from, guest&, const stream_taken& m, time_point now,
                    effects& out) {
  const auto hit = find(from, m.stream);
  if (!hit) {
    return; // it ended meanwhile
  }
  stream& s = streams_.at(hit->first);
  if (hit->second != 1 || s.taken) {
    return put_out(from, "a stream is taken that was not offered", now, out);
  }
  s.taken = true;
  out.push_back({s.ends[0].guest, stream_taken{s.ends[0].number}, {}});
}

void relay_book::on(connection_id from, guest& g, const stream_bytes& m, time_point now,
                    effects& out) {
  const auto hit = find(from, m.stream);
  if (!hit) {
    return;
  }
  stream& s = streams_.at(hit->first);
  lane& mine = s.ends[hit->second].sends;
  const stream_end_point& other = s.ends[1 - hit->second];
  if (!s.taken || m.bytes.size() > mine.granted + limits::relay_window_bytes - mine.passed) {
    return put_out(from, "more is sent than the receiver has signed for", now, out);
  }
  key_use& use = use_of(g.node, now);
  if (use.bytes + m.bytes.size() > limits::relay_key_bytes_max) {
    return end(hit->first, stream_ending::full, std::nullopt, now, out);
  }
  use.bytes += m.bytes.size();
  use.paid_until = std::max(use.paid_until, now - worth_of(limits::relay_key_bytes_burst)) +
                   worth_of(m.bytes.size());
  mine.passed += m.bytes.size();
  passed_bytes_ += m.bytes.size();
  out.push_back({other.guest, stream_bytes{other.number, m.bytes}, {}});
}

counted_stream relay_book::statement_of(const node_id& relay, const stream& s, std::size_t sender) {
  return {relay, s.ends[sender].node, s.ends[1 - sender].node, s.session,
          s.ends[sender].sends.counted};
}

void relay_book::on(connection_id from, guest& g, const stream_count& m, time_point now,
                    effects& out) {
  const auto hit = find(from, m.stream);
  if (!hit) {
    return;
  }
  stream& s = streams_.at(hit->first);
  const std::size_t sender = 1 - hit->second;
  lane& theirs = s.ends[sender].sends;
  counted_stream what = statement_of(self_.id(), s, sender);
  what.bytes = m.bytes;
  if (m.bytes <= theirs.counted || m.bytes > theirs.passed ||
      !verify(g.node, count_domain, count_statement(what), m.proof)) {
    return put_out(from, "a count is not what has come, or is not signed", now, out);
  }
  const bool first = s.ends[0].sends.counted + s.ends[1].sends.counted == 0;
  if (first && !keep_session(s.session)) {
    return put_out(s.ends[0].guest, "a stream has the session of another one", now, out);
  }
  const std::uint64_t part = theirs.counted / limits::relay_part_bytes;
  theirs.counted = m.bytes;
  theirs.proof = m.proof;
  if (m.bytes / limits::relay_part_bytes > part) {
    bill(s, sender, part);
  }
  theirs.told_at = std::max(now, use_of(s.ends[sender].node, now).paid_until);
  grant(s, sender, now, out);
}

bool relay_book::keep_session(const std::array<std::uint8_t, 16>& session) {
  if (!sessions_.insert(session).second) {
    return false;
  }
  sessions_by_age_.push_back(session);
  if (sessions_by_age_.size() > limits::relay_sessions_max) {
    sessions_.erase(sessions_by_age_.front());
    sessions_by_age_.pop_front();
  }
  return true;
}

void relay_book::bill(const stream& s, std::size_t sender, std::uint64_t part) {
  if (s.ends[0].node == self_.id() || s.ends[1].node == self_.id()) {
    return;
  }
  bills_.push_back({statement_of(self_.id(), s, sender), static_cast<std::uint32_t>(part),
                    s.ends[sender].sends.proof});
  if (bills_.size() > limits::relay_bills_max) {
    bills_.pop_front();
  }
}

void relay_book::grant(stream& s, std::size_t sender, time_point now, effects& out) {
  lane& theirs = s.ends[sender].sends;
  if (theirs.told_at && *theirs.told_at <= now) {
    theirs.told_at.reset();
    theirs.granted = theirs.counted;
    out.push_back({s.ends[sender].guest,
                   stream_count{s.ends[sender].number, theirs.counted, theirs.proof},
                   {}});
  }
}

void relay_book::on(connection_id from, guest&, const stream_end& m, time_point now, effects& out) {
  if (const auto hit = find(from, m.stream)) {
    end(hit->first, m.why, from, now, out);
  }
}

void relay_book::end(stream_number number, stream_ending why, std::optional<connection_id> but,
                     time_point now, effects& out) {
  const auto at = streams_.find(number);
  const stream& s = at->second;
  for (std::size_t sender = 0; sender < s.ends.size(); ++sender) {
    const std::uint64_t counted = s.ends[sender].sends.counted;
    if (counted % limits::relay_part_bytes > 0) {
      bill(s, sender, counted / limits::relay_part_bytes);
    }
  }
  for (const stream_end_point& one : s.ends) {
    numbers_.erase({one.guest, one.number});
    if (const auto g = guests_.find(one.guest); g != guests_.end()) {
      --g->second.streams;
      g->second.idle_since = now;
    }
    if (one.guest != but) {
      out.push_back({one.guest, stream_end{one.number, why}, {}});
    }
  }
  --use_of(s.ends[0].node, now).opened;
  --use_of(s.ends[1].node, now).lead_to;
  streams_.erase(at);
}

relay_book::effects relay_book::tick(time_point now) {
  effects out;
  std::vector<stream_number> overdue;
  for (auto& [number, s] : streams_) {
    grant(s, 0, now, out);
    grant(s, 1, now, out);
    if (!s.taken && now >= s.opened + limits::relay_taken_wait) {
      overdue.push_back(number);
    }
  }
  for (const stream_number number : overdue) {
    end(number, stream_ending::absent, std::nullopt, now, out);
  }
  std::erase_if(meetings_, [now](const auto& m) { return now >= m.second.until; });
  std::vector<connection_id> idle;
  for (const auto& [id, g] : guests_) {
    if (!g.joined && g.streams == 0 && now >= g.idle_since + limits::helper_idle_max) {
      idle.push_back(id);
    }
  }
  for (const connection_id id : idle) {
    put_out(id, "the connection to this helper is not used", now, out);
  }
  return out;
}

relay_book::effects relay_book::keep(const std::function<bool(const node_id&)>& stays,
                                     time_point now) {
  effects out;
  std::vector<connection_id> gone;
  for (const auto& [id, g] : guests_) {
    if (g.node != self_.id() && !stays(g.node)) {
      gone.push_back(id);
    }
  }
  for (const connection_id id : gone) {
    put_out(id, "this node is a member no longer", now, out);
  }
  return out;
}

std::vector<carried_part> relay_book::take_bills() {
  std::vector<carried_part> taken{bills_.begin(), bills_.end()};
  bills_.clear();
  return taken;
}

relay_book::counters relay_book::count() const {
  return {guests_.size(), held_.size(), streams_.size(), passed_bytes_};
}

} // namespace ovir::actors
