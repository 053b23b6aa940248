#include "tests/swarm/wires.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>
#include <utility>

namespace ovir::swarm {

namespace {

using actors::channel;
using actors::connection_id;
using actors::message_kind;

/// TLS's handshake and the hellos cross the wire so often before a connection stands.
constexpr int opening_trips = 4;
constexpr std::size_t hello_bytes = 512;
constexpr std::size_t frame_bytes = 48; ///< of a message's header and TLS record
constexpr std::chrono::milliseconds retry_reading{2};

enum note : std::uint64_t { dialled = 100, stood, refused, sent, arrived, closed, lost };

error gone(const std::string& why) { return {errc::peer_lost, why}; }

/// What the options of a node's links say of it.
actors::peer_hello hello_from(const actors::tls_options& how, channel kind, bool incoming) {
  const actors::network_identity& is = how.identity;
  actors::peer_hello hello;
  hello.kind = kind;
  hello.cluster = is.cluster;
  hello.address = is.address.empty() ? how.listen : is.address;
  hello.roles = is.roles;
  hello.token = is.token;
  hello.token_bound = !is.token.empty();
  hello.incoming = incoming;
  hello.life = is.life;
  return hello;
}

std::size_t charge_of(std::size_t bytes) { return bytes + limits::message_overhead_bytes; }

} // namespace

/// Of one network all have the same address: nothing here tells them apart.
address_prefix wires::place_of(std::size_t machine) const {
  const std::size_t network = network_of_ ? network_of_(machine) : machine;
  return prefix_of(static_cast<std::uint32_t>(10U << 24U | (network + 1) << 8U | 1U));
}

wires::~wires() {
  for (const auto& [number, c] : std::map{open_}) {
    forget(*c);
  }
}

void wires::forget(connection& c) {
  for (side& one : c.sides) {
    one.at_cut.clear(); // each holds the connection
  }
  open_.erase(c.number);
}

nanoseconds wires::trip(std::size_t from, std::size_t to, std::size_t bytes) {
  const wire_state& w = between(from, to);
  const auto size = nanoseconds{static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 /
                                                          static_cast<double>(w.bytes_per_second))};
  return w.delay + size + world_.draws().between(nanoseconds{0}, w.jitter);
}

void wires::carry(const pointer& c, std::size_t side, std::size_t bytes,
                  std::function<void()> arrive) {
  wires::side& from = c->sides[side];
  const std::size_t other = c->sides[1 - side].machine;
  if (between(from.machine, other).cut || !from.at_cut.empty()) {
    if (open_.contains(c->number)) {
      from.at_cut.push_back(std::move(arrive));
    }
    return;
  }
  from.last = std::max(from.last, world_.now() + trip(from.machine, other, bytes));
  world_.at(from.last, std::move(arrive));
}

void wires::healed() {
  for (const auto& [number, c] : std::map{open_}) {
    for (const std::size_t from : {0U, 1U}) {
      for (auto& arrive : std::exchange(c->sides[from].at_cut, {})) {
        carry(c, from, hello_bytes, std::move(arrive));
      }
    }
  }
}

bool wires::reach(std::size_t one, std::size_t other) {
  if (between(one, other).cut || between(other, one).cut) {
    return false;
  }
  return std::any_of(open_.begin(), open_.end(), [&](const auto& entry) {
    const connection& c = *entry.second;
    const std::set<std::size_t> ends{c.sides[0].machine, c.sides[1].machine};
    return c.kind == actors::channel::control && c.sides[0].told && c.sides[1].told &&
           c.sides[0].at != nullptr && c.sides[1].at != nullptr && ends == std::set{one, other};
  });
}

bool wires::reset_one(chance& draws) {
  if (open_.empty()) {
    return false;
  }
  const auto at = std::next(open_.begin(), static_cast<std::ptrdiff_t>(draws.below(open_.size())));
  const pointer c = at->second;
  world_.note(lost, c->number);
  for (const std::size_t side : {0U, 1U}) {
    world_.in(trip(c->sides[side].machine, c->sides[1 - side].machine, 0),
              [this, c, side] { drop(c, side, gone("the connection was reset")); });
  }
  return true;
}

bool wires::forget_one(chance& draws, nanoseconds silence) {
  if (open_.empty()) {
    return false;
  }
  const auto at = std::next(open_.begin(), static_cast<std::ptrdiff_t>(draws.below(open_.size())));
  const std::size_t who = at->second->sides[draws.below(2)].machine;
  const connection& chosen = *at->second;
  const std::size_t other = chosen.sides[0].machine + chosen.sides[1].machine - who;
  std::vector<std::pair<pointer, std::size_t>> ends;
  for (const auto& [number, c] : open_) {
    for (const std::size_t side : {0U, 1U}) {
      if (c->open && c->sides[side].machine == who && c->sides[1 - side].machine == other) {
        c->silent_until = world_.now() + silence;
        ends.emplace_back(c, side);
      }
    }
  }
  for (const auto& [c, side] : ends) {
    world_.note(lost, c->number, side);
    drop(c, side, gone("the connection timed out"));
  }
  return !ends.empty();
}

// The one that was called may be gone, deaf, frozen, or someone else.
void wires::meet(const pointer& c, const node_id& expected, const std::string& address) {
  const auto found = listening_.find(address);
  if (found == listening_.end()) {
    carry(c, 0, 0, [this, c, address] {
      drop(c, 0, {errc::peer_lost, address + ": nobody listens there"});
    });
    return;
  }
  endpoint& there = *found->second;
  c->sides[1].at = &there;
  c->sides[1].machine = there.machine_; // it may have begun to listen since it was dialled
  c->sides[1].own = connection_id{2 * c->number + 1};
  there.mine_[c->sides[1].own] = {c, 1};
  there.run_([this, c, expected] { admit(c, expected); });
}

void wires::admit(const pointer& c, const node_id& expected) {
  side& caller = c->sides[0];
  side& called = c->sides[1];
  if (caller.at == nullptr || called.at == nullptr || c->over) {
    return;
  }
  const auto refuse = [this, c](const std::string& why) {
    world_.note(refused, c->number);
    drop(c, 1, {errc::peer_lost, why});
    carry(c, 1, hello_bytes, [this, c, why] { drop(c, 0, {errc::peer_lost, why}); });
  };
  const auto hello_of = [this, c](const side& who, bool incoming) {
    actors::peer_hello hello = hello_from(who.at->how_, c->kind, incoming);
    hello.node = who.at->self_;
    hello.last_loss = who.peer.told_loss;
    hello.from = place_of(who.machine);
    return hello;
  };
  const auto info_of = [this, kind = c->kind](const side& me, const side& other, const auto& is,
                                              auto as) {
    return actors::peer_info{me.own,       is.node,          kind,    as,
                             is.address,   is.incoming,      is.life, place_of(other.machine),
                             is.last_loss, me.peer.told_loss};
  };
  if (!expected.empty() && called.at->self_ != expected) {
    return refuse("another key than the expected one");
  }
  if (called.at->self_ == caller.at->self_) {
    return refuse("a node does not connect to itself");
  }
  caller.peer.told_loss = caller.at->handler_.last_loss(called.at->self_);
  called.peer.told_loss = called.at->handler_.last_loss(caller.at->self_);
  const actors::peer_hello theirs = hello_of(caller, true);
  const auto as = called.at->handler_.admit(theirs);
  if (!as) {
    return refuse(as.error().message);
  }
  called.peer = info_of(called, caller, theirs, *as);
  const actors::peer_hello ours = hello_of(called, false);
  for (side* const one : {&caller, &called}) {
    one->budget =
        std::make_shared<actors::receive_budget>(actors::receive_bytes_max(c->kind), [] {});
  }
  c->open = true;
  called.told = true;
  world_.note(stood, c->number);
  called.at->handler_.connected(called.peer);
  carry(c, 1, hello_bytes, [this, c, ours, info_of] {
    side& me = c->sides[0];
    if (me.at == nullptr) {
      return;
    }
    me.at->run_([this, c, ours, info_of] {
      side& caller_side = c->sides[0];
      if (caller_side.at == nullptr) {
        return;
      }
      const auto role = caller_side.at->handler_.admit(ours);
      if (!role) {
        return close(c, 0, {errc::peer_lost, role.error().message});
      }
      caller_side.peer = info_of(caller_side, c->sides[1], ours, *role);
      caller_side.told = true;
      caller_side.at->handler_.connected(caller_side.peer);
    });
  });
}

void wires::deliver(const pointer& c, std::size_t to, parcel one) {
  side& me = c->sides[to];
  if (me.at == nullptr) {
    // Nobody is there any more; a machine that is up again says so.
    if (listening_.contains(c->sides[1 - to].peer.address) && world_.now() >= c->silent_until) {
      drop(c, 1 - to, gone("the other end has forgotten the connection"));
    }
    return;
  }
  me.inbox.push_back(std::move(one));
  me.at->run_([this, c, to] { read(c, to); });
}

// As a socket that is not read from while what came before is held.
void wires::read(const pointer& c, std::size_t to) {
  side& me = c->sides[to];
  while (me.at != nullptr && me.told && !me.inbox.empty()) {
    const std::size_t size = me.inbox.front().bytes.size();
    if (!me.budget->reserve(size)) {
      if (!std::exchange(me.reads, true)) {
        world_.in(retry_reading, [this, c, to] {
          side& here = c->sides[to];
          here.reads = false;
          if (here.at != nullptr) {
            here.at->run_([this, c, to] { read(c, to); });
          }
        });
      }
      return;
    }
    parcel one = std::move(me.inbox.front());
    me.inbox.pop_front();
    c->sides[1 - to].queued -= charge_of(size);
    world_.note(arrived, c->number, size);
    if (arrivals_) {
      arrivals_(c->sides[1 - to].machine, me.machine, c->kind, one.kind, one.target, one.bytes);
    }
    me.at->handler_.received(me.peer, one.kind, one.target,
                             me.budget->hand_out(std::move(one.bytes)));
  }
}

void wires::drop(const pointer& c, std::size_t side, const error& reason) {
  wires::side& me = c->sides[side];
  if (me.at == nullptr) {
    return;
  }
  endpoint* const at = std::exchange(me.at, nullptr);
  at->mine_.erase(me.own);
  if (me.budget) {
    me.budget->detach();
  }
  if (c->sides[0].at == nullptr && c->sides[1].at == nullptr) {
    forget(*c);
  }
  c->over = true;
  world_.note(closed, c->number, side);
  if (me.told || side == 0) {
    at->run_([at, peer = me.peer, reason] { at->handler_.closed(peer, reason); });
  }
}

void wires::hang_up(const pointer& c, std::size_t side, const error& reason) {
  wires::side& me = c->sides[side];
  if (me.at == nullptr || !me.told || me.inbox.empty()) {
    return drop(c, side, reason);
  }
  me.at->run_([this, c, side, reason] {
    read(c, side);
    if (c->sides[side].inbox.empty()) {
      return drop(c, side, reason);
    }
    world_.in(retry_reading, [this, c, side, reason] { hang_up(c, side, reason); });
  });
}

void wires::close(const pointer& c, std::size_t side, const error& reason) {
  if (c->sides[side].at == nullptr) {
    return; // it has forgotten it
  }
  if (c->sides[1 - side].at != nullptr) {
    carry(c, side, frame_bytes,
          [this, c, side, reason] { hang_up(c, 1 - side, gone(reason.message)); });
  }
  drop(c, side, reason);
}

endpoint::endpoint(wires& at, std::size_t machine, node_id self, actors::tls_options how,
                   actors::network_handler& handler, runner run)
    : wires_(at), machine_(machine), self_(self), how_(std::move(how)), handler_(handler),
      run_(std::move(run)) {
  if (!how_.listen.empty()) {
    wires_.listening_[how_.listen] = this;
  }
}

endpoint::~endpoint() {
  std::erase_if(wires_.listening_, [this](const auto& one) { return one.second == this; });
  for (auto& [own, one] : std::map{mine_}) {
    const auto& [c, side] = one;
    c->sides[side].told = false; // nobody is there to be told
    wires::side& me = c->sides[side];
    me.at = nullptr;
    if (me.budget) {
      me.budget->detach();
    }
    if (c->sides[1 - side].at != nullptr) {
      const std::size_t other = 1 - side;
      wires_.carry(c, side, 0, [w = &wires_, c = c, other] {
        w->hang_up(c, other, gone("the other end was closed"));
      });
    } else {
      wires_.forget(*c);
    }
  }
}

void endpoint::vanish() {
  std::erase_if(wires_.listening_, [this](const auto& one) { return one.second == this; });
  for (auto& [own, one] : mine_) {
    const auto& [c, side] = one;
    c->sides[side].at = nullptr;
    if (c->sides[side].budget) {
      c->sides[side].budget->detach();
    }
    if (c->sides[1 - side].at == nullptr) {
      wires_.forget(*c);
    }
  }
  mine_.clear();
}

connection_id endpoint::connect(const std::string& address, channel kind, const node_id& expected) {
  const auto c = std::make_shared<wires::connection>();
  c->number = wires_.next_++;
  c->kind = kind;
  wires::side& me = c->sides[0];
  me.at = this;
  me.machine = machine_;
  me.own = connection_id{2 * c->number};
  me.peer = {me.own, expected, kind, {}, address, false};
  const auto there = wires_.listening_.find(address);
  c->sides[1].machine = there == wires_.listening_.end() ? machine_ : there->second->machine_;
  c->sides[1].peer.address = how_.listen;
  mine_[me.own] = {c, 0};
  wires_.open_[c->number] = c;
  wires_.world_.note(dialled, c->number, machine_);
  for (int trips = 1; trips < opening_trips; ++trips) {
    me.last = std::max(me.last, wires_.world_.now()) +
              wires_.trip(machine_, c->sides[1].machine, hello_bytes);
  }
  wires_.carry(c, 0, hello_bytes, [w = &wires_, c, expected, address] {
    if (c->sides[0].at != nullptr) {
      w->meet(c, expected, address);
    }
  });
  // A call that is not answered ends, as that of a real network.
  wires_.world_.in(limits::connect_deadline + limits::admission_deadline, [w = &wires_, c] {
    if (c->sides[0].at != nullptr && !c->sides[0].told) {
      w->close(c, 0, {errc::timed_out, "no answer in time"});
    }
  });
  return me.own;
}

result<void> endpoint::send(connection_id connection, message_kind kind, std::uint32_t target,
                            std::shared_ptr<const std::vector<std::byte>> bytes) {
  const auto found = mine_.find(connection);
  if (found == mine_.end() || !found->second.first->sides[found->second.second].told) {
    return gone("the link is closed");
  }
  const auto& [c, side] = found->second;
  const std::size_t bytes_max = actors::message_bytes_max(c->kind, kind);
  if (bytes_max == 0) {
    return fail(errc::invalid_argument, "a message of kind {} does not belong on channel {}",
                static_cast<int>(kind), static_cast<int>(c->kind));
  }
  if (bytes->size() > bytes_max) {
    return fail(errc::over_limit, "a message of kind {} has {} bytes; at most {} are allowed",
                static_cast<int>(kind), bytes->size(), bytes_max);
  }
  wires::side& me = c->sides[side];
  if (me.queued > actors::send_bytes_max(c->kind)) {
    const error reason{errc::busy, "the peer takes its messages too slowly"};
    wires_.world_.in(nanoseconds{0},
                     [w = &wires_, c = c, side = side, reason] { w->close(c, side, reason); });
    return reason;
  }
  std::vector<std::byte> copy = *bytes;
  if (wires_.tap_) {
    wires_.tap_(machine_, c->sides[1 - side].machine, c->kind, kind, target, copy);
  }
  me.queued += charge_of(copy.size());
  ++wires_.messages_;
  wires_.bytes_ += copy.size() + frame_bytes;
  wires_.world_.note(sent, c->number, copy.size());
  const std::size_t size = copy.size() + frame_bytes;
  wires_.carry(c, side, size,
               [w = &wires_, c = c, to = 1 - side, kind, target,
                kept = std::make_shared<std::vector<std::byte>>(std::move(copy))] {
                 w->deliver(c, to, {kind, target, std::move(*kept)});
               });
  return {};
}

void endpoint::close(connection_id connection, error reason) {
  const auto found = mine_.find(connection);
  if (found == mine_.end()) {
    return;
  }
  const auto [c, side] = found->second;
  // By an event: whoever closes may hold a lock that the handler wants.
  wires_.world_.in(nanoseconds{0}, [w = &wires_, c = c, side = side, reason = std::move(reason)] {
    w->close(c, side, reason);
  });
}

} // namespace ovir::swarm
