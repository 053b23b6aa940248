#include "actors/nat/search_desk.hpp"

#include "actors/link/link_format.hpp"
#include "actors/nat/address_rules.hpp"
#include "messages/secret_random.hpp"

#include <boost/asio/post.hpp>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace {

using action = way_step::action;

template <class Number>
Number drawn_number() {
  Number n{};
  fill_secret(std::as_writable_bytes(std::span{&n, 1}));
  return n;
}

std::string_view text_of(stream_ending why) {
  switch (why) {
  case stream_ending::closed: return "the other end closed it";
  case stream_ending::absent: return "the node cannot be met there";
  case stream_ending::full: return "it has as many streams or bytes as it may";
  case stream_ending::broken: return "an end broke the rules";
  case stream_ending::refused: return "it is no relay";
  }
  return "unknown";
}

} // namespace

search_desk::~search_desk() {
  for (auto& [number, m] : meetings_) {
    m.point->stop();
    if (m.held) {
      ::close(m.held->descriptor);
    }
  }
}

void search_desk::begin(connection_id wanted, channel kind, const node_id& node,
                        std::vector<node_id> helpers, time_point now) {
  if (searches_.size() >= limits::attempts_max) {
    helpers.clear(); // directly or not at all
  }
  way_search::settings how;
  how.helpers = std::move(helpers);
  how.meets = calls_.meets;
  if (const auto known = ways_.find(node);
      known != ways_.end() && now < known->second.second + limits::way_lifetime) {
    how.known = known->second.first;
  }
  search fresh{kind, node, drawn_number<std::uint64_t>(), way_search{std::move(how)}};
  const auto [at, is_new] = searches_.insert_or_assign(wanted, std::move(fresh));
  perform(wanted, at->second.ways.begin(now), now);
}

void search_desk::perform(connection_id wanted, const way_search::steps& steps, time_point now) {
  for (const way_step& step : steps) {
    const auto found = searches_.find(wanted);
    if (found == searches_.end()) {
      return;
    }
    search& s = found->second;
    const bool detour = step.what == action::meet || step.what == action::open;
    if (detour && s.kind == channel::control && calls_.is_linked(s.node)) {
      searches_.erase(found);
      calls_.failed(wanted, {errc::busy, "there is a link already"});
      return;
    }
    switch (step.what) {
    case action::dial: calls_.dial(wanted, step.address); break;
    case action::drop_dial: calls_.drop_dial(wanted); break;
    case action::ask: calls_.say(step.helper, helper_ask{s.nonce, s.node}); break;
    case action::meet: {
      meeting_end fresh;
      fresh.wanted = wanted;
      fresh.helper = step.helper;
      fresh.node = s.node;
      fresh.nonce = drawn_number<std::uint64_t>();
      meet(std::move(fresh));
      break;
    }
    case action::open: open(wanted, s.node, step.helper); break;
    case action::fail: {
      const error reason = step.reason;
      ways_.erase(s.node);
      searches_.erase(found);
      calls_.failed(wanted, reason);
      return;
    }
    }
  }
  (void)now;
}

void search_desk::dial_failed(connection_id wanted, const error& reason, time_point now) {
  if (const auto found = searches_.find(wanted); found != searches_.end()) {
    perform(wanted, found->second.ways.dial_failed(reason, now), now);
  }
}

void search_desk::carry_failed(connection_id wanted, const error& reason, time_point now) {
  if (const auto found = searches_.find(wanted); found != searches_.end()) {
    perform(wanted, found->second.ways.way_failed(reason, now), now);
  }
}

void search_desk::cancel(connection_id wanted) {
  searches_.erase(wanted);
  std::vector<std::uint64_t> over;
  for (const auto& [number, m] : meetings_) {
    if (m.wanted == wanted) {
      over.push_back(number);
    }
  }
  for (const std::uint64_t number : over) {
    drop_meeting(number, "the connection is not wanted any more");
  }
  for (const auto& [key, s] : streams_) {
    if (s.wanted == wanted) {
      calls_.say(key.first, stream_end{key.second, stream_ending::closed});
    }
  }
  std::erase_if(streams_, [wanted](const auto& one) { return one.second.wanted == wanted; });
}

void search_desk::connected(connection_id wanted, time_point now) {
  const auto found = searches_.find(wanted);
  if (found == searches_.end()) {
    return;
  }
  ways_[found->second.node] = {found->second.ways.way(), now};
  if (ways_.size() > limits::ways_known_max) {
    ways_.erase(std::min_element(ways_.begin(), ways_.end(), [](const auto& a, const auto& b) {
      return a.second.second < b.second.second;
    }));
  }
  searches_.erase(found);
}

void search_desk::tick(time_point now) {
  std::vector<connection_id> all;
  for (const auto& [wanted, s] : searches_) {
    all.push_back(wanted);
  }
  for (const connection_id wanted : all) {
    if (const auto found = searches_.find(wanted); found != searches_.end()) {
      const way_search::steps steps = found->second.ways.tick(now);
      if (!steps.empty()) {
        perform(wanted, steps, now);
      }
    }
  }
  punches_.tick(now);
  std::vector<std::uint64_t> waited;
  for (const auto& [number, m] : meetings_) {
    if (m.held && !punches_.is_hopeful(number, now)) {
      waited.push_back(number);
    }
  }
  for (const std::uint64_t number : waited) {
    use_held(number);
  }
}

void search_desk::helper_lost(const node_id& helper, time_point now) {
  std::vector<connection_id> all;
  for (const auto& [wanted, s] : searches_) {
    all.push_back(wanted);
  }
  for (const connection_id wanted : all) {
    if (const auto found = searches_.find(wanted); found != searches_.end()) {
      perform(wanted, found->second.ways.helper_lost(helper, now), now);
    }
  }
  std::vector<stream_key> over;
  for (const auto& [key, s] : streams_) {
    if (key.first == helper) {
      over.push_back(key);
    }
  }
  for (const stream_key& key : over) {
    ended(key, fail(errc::peer_lost, "relay {} is gone", short_name(helper)), now);
  }
}

// Meetings

void search_desk::meet(meeting_end fresh) {
  const std::uint64_t number = ++last_meeting_;
  const std::string address = calls_.address_of(fresh.helper);
  const node_id helper = fresh.helper;
  meeting_point::calls to;
  to.helper = [this, number, helper](ready_stream over) {
    if (const auto m = meetings_.find(number); m != meetings_.end()) {
      m->second.connection = calls_.link(std::move(over), helper);
    }
  };
  to.peer = [this, number](ready_stream over) { met(number, std::move(over)); };
  to.failed = [this, number](const error& reason) { meet_failed(number, reason); };
  fresh.point = std::make_shared<meeting_point>(context_, std::move(to));
  const auto point = fresh.point;
  meetings_.emplace(number, std::move(fresh));
  // Later: it may fail at once.
  boost::asio::post(context_, [this, point, address, number] {
    if (address.empty()) {
      meet_failed(number, {errc::not_found, "the helper of the meeting has no known address"});
    } else {
      point->reach(address, 0);
    }
  });
}

std::map<std::uint64_t, search_desk::meeting_end>::iterator
search_desk::meeting_of(connection_id connection) {
  return std::find_if(meetings_.begin(), meetings_.end(),
                      [connection](const auto& m) { return m.second.connection == connection; });
}

bool search_desk::heard_on(connection_id connection, const nat_message& message, time_point now) {
  const auto found = meeting_of(connection);
  if (found == meetings_.end()) {
    return false;
  }
  const std::uint64_t number = found->first;
  meeting_end& m = found->second;
  if (const auto* const seen = std::get_if<address_seen>(&message)) {
    seen_at(number, m, *seen, now);
  } else if (const auto* const answer = std::get_if<meeting>(&message)) {
    if (!m.wanted || !answer->answers || answer->nonce != m.nonce || answer->node != m.node) {
      return true; // nothing that was asked for
    }
    const auto usable = usable_addresses(answer->addresses, m.own_seen);
    const bool hopeless =
        answer->mapping == nat_mapping::dependent && calls_.mapping() == nat_mapping::dependent;
    if (usable.empty() || hopeless) {
      meet_failed(number, {errc::peer_lost, "the routers of both nodes let no meeting happen"});
    } else {
      m.told = answer->addresses;
      m.told_udp = answer->udp;
      dial_both(number, m, now);
    }
  } else if (const auto* const no = std::get_if<helper_answer>(&message);
             no != nullptr && no->nonce == m.nonce) {
    meet_failed(number, {errc::peer_lost, "the node cannot be met at the helper"});
  }
  return true;
}

// The helper's word of the connection comes first, and then, where a probe reached it, that of the
// UDP socket, for which limits::probe_wait is time.
void search_desk::seen_at(std::uint64_t number, meeting_end& m, const address_seen& seen,
                          time_point now) {
  if (m.said) {
    return;
  }
  if (seen.udp) {
    m.own_udp_seen = !m.own_seen.empty();
    punches_.forget_probe(number);
  } else {
    m.own_seen = seen.address;
    if (calls_.udp && seen.probe != punch_token{}) {
      punches_.probe(number, calls_.address_of(m.helper), seen.probe, now);
      return; // `probed`, or its answer
    }
  }
  say_where(number, now);
}

void search_desk::say_where(std::uint64_t number, time_point now) {
  const auto found = meetings_.find(number);
  if (found == meetings_.end() || found->second.said || !found->second.connection) {
    return;
  }
  meeting_end& m = found->second;
  m.said = true;
  meeting what{m.nonce, m.node, !m.wanted, calls_.mapping(), {m.point->own_address()}, {}};
  if (m.own_udp_seen) {
    what.udp.push_back(
        to_string(host_and_port{host_of(m.point->own_address()), calls_.udp->port()}));
    if (const auto mapped = calls_.mapped ? calls_.mapped() : std::nullopt) {
      what.udp.push_back(*mapped);
    }
    std::erase_if(what.udp, [](const std::string& one) { return !is_numeric_address(one); });
  }
  calls_.say_on(*m.connection, what);
  if (!m.wanted) {
    dial_both(number, m, now);
  }
}

void search_desk::dial_both(std::uint64_t number, meeting_end& m, time_point now) {
  m.point->dial(usable_addresses(m.told, m.own_seen));
  if (m.own_udp_seen) {
    const bool asks = m.wanted.has_value();
    const punch_token token =
        token_of_meeting(m.nonce, asks ? self_.id() : m.node, asks ? m.node : self_.id());
    punches_.knock(number, token, usable_udp_addresses(m.told, m.told_udp, m.own_seen), asks, now);
  }
}

punch_desk::calls search_desk::punch_calls() {
  punch_desk::calls to;
  to.send = [this](const std::string& address, std::vector<std::byte> datagram) {
    calls_.udp->send(address, std::move(datagram));
  };
  to.probed = [this](std::uint64_t number) { say_where(number, std::chrono::steady_clock::now()); };
  to.connect = [this](std::uint64_t number, const std::string& address) {
    const auto m = meetings_.find(number);
    if (m == meetings_.end() || !m->second.wanted) {
      return;
    }
    const auto found = searches_.find(*m->second.wanted);
    if (found == searches_.end() ||
        !calls_.udp->connect(found->first, address, found->second.kind, found->second.node)) {
      punches_.forget(number);
    } else {
      found->second.ways.carried(std::chrono::steady_clock::now());
    }
  };
  to.late = [this](std::uint64_t number) {
    if (const auto m = meetings_.find(number); m != meetings_.end() && m->second.wanted) {
      const connection_id wanted = *m->second.wanted;
      calls_.udp->drop(wanted);
      punch_failed(wanted, {errc::timed_out, "the link over QUIC took too long"});
    }
  };
  return to;
}

void search_desk::punch_failed(connection_id wanted, const error& reason) {
  for (auto& [number, m] : meetings_) {
    if (m.wanted == wanted) {
      punches_.forget(number);
      if (m.held) {
        return use_held(std::uint64_t{number});
      }
      if (m.tcp_over) {
        return meet_failed(std::uint64_t{number}, reason);
      }
      return; // TCP has its time still
    }
  }
}

void search_desk::punched(connection_id wanted, time_point now) {
  connected(wanted, now);
  cancel(wanted); // what else was tried for it
}

bool search_desk::closed(connection_id connection, const error& reason, time_point) {
  const auto found = meeting_of(connection);
  if (found == meetings_.end()) {
    return false;
  }
  found->second.connection.reset();
  // While both dial, the helper has done its part.
  if (found->second.own_seen.empty()) {
    meet_failed(found->first, reason);
  }
  return true;
}

void search_desk::drop_meeting(std::uint64_t number, std::string_view reason) {
  const auto m = meetings_.extract(number);
  if (m) {
    m.mapped().point->stop();
    if (m.mapped().held) {
      ::close(m.mapped().held->descriptor);
    }
    if (m.mapped().wanted && punches_.is_connecting(number)) {
      calls_.udp->drop(*m.mapped().wanted);
    }
    punches_.forget(number);
    if (m.mapped().connection) {
      calls_.close(*m.mapped().connection, {errc::busy, std::string{reason}});
    }
  }
}

void search_desk::meet_failed(std::uint64_t number, const error& reason) {
  const auto m = meetings_.find(number);
  if (m == meetings_.end()) {
    return;
  }
  const auto wanted = m->second.wanted;
  if (wanted && punches_.is_connecting(number)) {
    m->second.tcp_over = true; // QUIC is not
    return;
  }
  drop_meeting(number, "the meeting is over");
  if (wanted) {
    carry_failed(*wanted, reason, std::chrono::steady_clock::now());
  }
}

void search_desk::met(std::uint64_t number, ready_stream over) {
  const auto m = meetings_.find(number);
  const auto wanted = m == meetings_.end() ? std::nullopt : m->second.wanted;
  if (!wanted) {
    calls_.accept(std::move(over)); // also a late one: admission decides
    return;
  }
  if (m->second.held) {
    ::close(over.descriptor); // one is enough
    return;
  }
  m->second.held = std::move(over);
  if (!punches_.is_hopeful(number, std::chrono::steady_clock::now())) {
    use_held(number);
  }
}

void search_desk::use_held(std::uint64_t number) {
  const auto m = meetings_.find(number);
  if (m == meetings_.end() || !m->second.wanted || !m->second.held) {
    return;
  }
  const auto wanted = m->second.wanted;
  ready_stream over = std::move(*std::exchange(m->second.held, std::nullopt));
  drop_meeting(number, "the nodes have met");
  const auto found = searches_.find(*wanted);
  if (found != searches_.end()) {
    found->second.ways.carried(std::chrono::steady_clock::now());
  }
  calls_.carry(*wanted, std::move(over));
}

void search_desk::asked_to_meet(const node_id& helper, const meeting& m, time_point now) {
  using std::chrono::milliseconds;
  if (askers_.size() >= limits::ways_known_max && !askers_.contains(m.node)) {
    askers_.clear(); // so many are not held back one by one
  }
  auto& asker = askers_
                    .try_emplace(m.node, allowance{limits::meetings_burst, limits::meetings_refill,
                                                   milliseconds{1'000}})
                    .first->second;
  const auto answered = std::count_if(meetings_.begin(), meetings_.end(),
                                      [](const auto& one) { return !one.second.wanted; });
  if (static_cast<std::size_t>(answered) >= limits::meetings_max || !asker.spend(1, now)) {
    return;
  }
  if (m.mapping == nat_mapping::dependent && calls_.mapping() == nat_mapping::dependent) {
    calls_.say(helper, meeting{m.nonce, m.node, true, nat_mapping::dependent, {}, {}});
    return;
  }
  meeting_end fresh;
  fresh.helper = helper;
  fresh.node = m.node;
  fresh.nonce = m.nonce;
  fresh.told = m.addresses;
  fresh.told_udp = m.udp;
  meet(std::move(fresh));
}

// Streams

void search_desk::open(connection_id wanted, const node_id& node, const node_id& helper) {
  std::uint32_t& next = next_stream_[helper];
  while (streams_.contains({helper, next})) {
    next += 2;
  }
  stream fresh;
  fresh.node = node;
  fresh.wanted = wanted;
  fill_secret(std::as_writable_bytes(std::span{fresh.session}));
  const stream_open message{std::exchange(next, next + 2), node, fresh.session};
  streams_.emplace(stream_key{helper, message.stream}, std::move(fresh));
  calls_.say(helper, message);
}

result<ready_stream> search_desk::begin_pump(const stream_key& key, stream& s) {
  stream_pump::calls to;
  to.say = [this, helper = key.first](nat_message m) { calls_.say(helper, std::move(m)); };
  to.over = [this, key](const error&) {
    boost::asio::post(context_, [this, key] { streams_.erase(key); });
  };
  s.pump = std::make_shared<stream_pump>(context_, stream_flow{self_, key.first, s.node, s.session},
                                         key.second, std::move(to));
  OVIR_ASSIGN(const int descriptor, s.pump->open());
  const auto from = prefix_of_address(calls_.address_of(key.first));
  return ready_stream{
      descriptor,
      fmt::format("node {} through relay {}", short_name(s.node), short_name(key.first)),
      from.value_or(address_prefix{})};
}

void search_desk::taken(const stream_key& key, stream& s) {
  if (!s.wanted || s.pump) {
    return;
  }
  const connection_id wanted = *std::exchange(s.wanted, std::nullopt);
  auto over = begin_pump(key, s);
  const auto found = searches_.find(wanted);
  if (!over || found == searches_.end()) {
    calls_.say(key.first, stream_end{key.second, stream_ending::closed});
    streams_.erase(key);
    if (!over) {
      carry_failed(wanted, over.error(), std::chrono::steady_clock::now());
    }
    return;
  }
  found->second.ways.carried(std::chrono::steady_clock::now());
  s.pump->start();
  calls_.carry(wanted, std::move(*over));
}

void search_desk::offered(const node_id& helper, const stream_open& m) {
  const stream_key key{helper, m.stream};
  if (m.stream % 2 == 0 || streams_.contains(key) ||
      streams_.size() >= limits::streams_of_node_max) {
    calls_.say(helper, stream_end{m.stream, stream_ending::full});
    return;
  }
  stream& s = streams_[key];
  s.node = m.node;
  s.session = m.session;
  auto over = begin_pump(key, s);
  if (!over) {
    streams_.erase(key);
    calls_.say(helper, stream_end{m.stream, stream_ending::full});
    return;
  }
  calls_.say(helper, stream_taken{m.stream});
  s.pump->start();
  calls_.accept(std::move(*over));
}

void search_desk::ended(const stream_key& key, const error& reason, time_point now) {
  const auto found = streams_.find(key);
  if (found == streams_.end()) {
    return;
  }
  if (found->second.pump) {
    found->second.pump->ended(reason); // which erases it
    return;
  }
  const auto wanted = found->second.wanted;
  streams_.erase(found);
  if (wanted) {
    carry_failed(*wanted, reason, now);
  }
}

void search_desk::heard(const node_id& helper, const nat_message& message, time_point now) {
  const auto stream_at = [&](std::uint32_t number) {
    return streams_.find(stream_key{helper, number});
  };
  if (const auto* const answer = std::get_if<helper_answer>(&message)) {
    for (auto& [wanted, s] : searches_) {
      if (s.nonce == answer->nonce) {
        const auto steps = s.ways.answered(helper, *answer, now);
        return perform(connection_id{wanted}, steps, now);
      }
    }
  } else if (const auto* const m = std::get_if<meeting>(&message); m != nullptr && !m->answers) {
    asked_to_meet(helper, *m, now);
  } else if (const auto* const fresh = std::get_if<stream_open>(&message)) {
    offered(helper, *fresh);
  } else if (const auto* const t = std::get_if<stream_taken>(&message)) {
    if (const auto at = stream_at(t->stream); at != streams_.end()) {
      taken(at->first, at->second);
    }
  } else if (const auto* const b = std::get_if<stream_bytes>(&message)) {
    if (const auto at = stream_at(b->stream); at != streams_.end() && at->second.pump) {
      at->second.pump->on(*b);
    }
  } else if (const auto* const c = std::get_if<stream_count>(&message)) {
    if (const auto at = stream_at(c->stream); at != streams_.end() && at->second.pump) {
      at->second.pump->on(*c);
    }
  } else if (const auto* const end = std::get_if<stream_end>(&message)) {
    ended({helper, end->stream},
          fail(errc::peer_lost, "relay {} ends the stream: {}", short_name(helper),
               text_of(end->why)),
          now);
  }
}

std::vector<node_id> search_desk::relayed() const {
  std::vector<node_id> all;
  for (const auto& [key, s] : streams_) {
    if (s.pump && key.first != self_.id()) {
      all.push_back(s.node);
    }
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

} // namespace ovir::actors
