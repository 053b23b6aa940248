#include "tests/support/cluster/quic_world.hpp"

#include "messages/limits/links.hpp"
#include "messages/limits/quic.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace ovir::test {

using actors::quic_time;

namespace {

secret_key key_filled(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

actors::quic_identity identity_of(const secret_key& key) {
  auto made = actors::quic_identity::make(key);
  if (!made) {
    throw std::runtime_error(made.error().message);
  }
  return std::move(*made);
}

} // namespace

quic_world::node::node(quic_world& world, std::uint8_t seed, const actors::udp_address& at,
                       link_recorder::judge admits)
    : key(key_filled(seed)), heard(std::move(admits)), address(at), identity(identity_of(key)),
      world_(world) {
  actors::network_identity self;
  self.cluster = "test";
  self.roles.add(role::worker);
  self.address = to_string(at);
  self.life = world.chance_();
  actors::quic_link_parts parts{key,
                                heard,
                                lanes,
                                self,
                                {},
                                [this](actors::connection_id id) { resumed.push_back(id); },
                                [this](const actors::peer_info& peer, const error&) {
                                  unanswered.push_back(peer);
                                  return false;
                                }};
  endpoint = std::make_unique<actors::quic_endpoint>(
      identity, std::move(parts),
      [&world](std::span<std::byte> out) {
        for (std::byte& b : out) {
          b = static_cast<std::byte>(world.chance_() & 0xffU);
        }
      },
      [this] { return actors::connection_id{++last_id_}; },
      actors::connection_slots::pool_sizes{limits::pending_silent_max, limits::pending_shaking_max,
                                           limits::pending_proven_max});
}

actors::connection_id quic_world::node::connect(const node& to, actors::channel kind,
                                                const node_id& expected) {
  actors::peer_info what;
  what.connection = actors::connection_id{++last_id_};
  what.node = expected;
  what.kind = kind;
  what.address = to_string(to.address);
  endpoint->connect(what, to.address, world_.now_);
  return what.connection;
}

result<void> quic_world::node::send(actors::connection_id connection, actors::message_kind kind,
                                    std::uint32_t target,
                                    std::shared_ptr<const std::vector<std::byte>> bytes) {
  OVIR_TRY(lanes.reserve(connection, kind, bytes->size()));
  endpoint->send(connection, kind, target, bytes, world_.now_);
  return {};
}

quic_world::node& quic_world::add(std::uint8_t seed, link_recorder::judge admits) {
  actors::udp_address at;
  at.bytes = {10, 0, 0, seed};
  at.port = static_cast<std::uint16_t>(1'000 + ++last_port_);
  all_.push_back(std::make_unique<node>(*this, seed, at, std::move(admits)));
  at_[at] = all_.back().get();
  return *all_.back();
}

quic_world::node& quic_world::start_again(const node& before) {
  const auto seed = static_cast<std::uint8_t>(before.address.bytes[3]);
  all_.push_back(std::make_unique<node>(*this, seed, before.address));
  at_[before.address] = all_.back().get();
  return *all_.back();
}

void quic_world::kill(const node& of) { at_.erase(of.address); }

void quic_world::carry(const actors::udp_address& from, const actors::udp_address& to,
                       std::vector<std::byte> bytes) {
  sent += bytes.size();
  if (watching) {
    seen.push_back({from, to, bytes});
  }
  quic_time leaves = now_;
  if (how.bytes_per_second > 0) {
    quic_time& free = free_[from];
    free = std::max(free, now_);
    const auto waiting =
        static_cast<std::uint64_t>((free - now_).count()) * how.bytes_per_second / 1'000'000'000U;
    if (waiting > how.queue_bytes) {
      ++dropped;
      return;
    }
    free +=
        quic_time{static_cast<std::int64_t>(bytes.size() * 1'000'000'000U / how.bytes_per_second)};
    leaves = free;
  }
  if (draw() < how.loss) {
    ++dropped;
    return;
  }
  const int copies = draw() < how.twice ? 2 : 1;
  for (int i = 0; i < copies; ++i) {
    datagram one{from, to, bytes};
    if (draw() < how.flipped) {
      const std::uint64_t bit = chance_() % (one.bytes.size() * 8);
      one.bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    }
    const std::chrono::microseconds later{
        how.jitter.count() == 0 ? 0
                                : static_cast<std::int64_t>(
                                      chance_() % static_cast<std::uint64_t>(how.jitter.count()))};
    under_way_.emplace(leaves + how.delay + later, std::move(one));
  }
}

void quic_world::inject(datagram what) { under_way_.emplace(now_, std::move(what)); }

void quic_world::flush(node& from) {
  std::array<std::byte, limits::quic_datagram_bytes_max> out{};
  while (const auto next = from.endpoint->write(out, now_)) {
    carry(from.address, next->to,
          {out.begin(), out.begin() + static_cast<std::ptrdiff_t>(next->bytes)});
  }
}

void quic_world::arrive(const datagram& what) {
  if (const auto at = at_.find(what.to); at != at_.end()) {
    at->second->endpoint->receive(what.from, what.bytes, now_);
  }
}

bool quic_world::run(const std::function<bool()>& done, std::chrono::milliseconds most) {
  const quic_time end = now_ + most;
  while (true) {
    for (const auto& [address, n] : at_) {
      for (const actors::connection_id id : std::exchange(n->resumed, {})) {
        n->endpoint->resume(id, now_);
      }
      flush(*n);
    }
    if (done()) {
      return true;
    }
    quic_time next = under_way_.empty() ? end : std::min(end, under_way_.begin()->first);
    for (const auto& [address, n] : at_) {
      if (const auto due = n->endpoint->deadline()) {
        next = std::min(next, std::max(*due, now_));
      }
    }
    if (next >= end) {
      now_ = end;
      return done();
    }
    // A deadline that is not moved by its call must not stop the clock.
    now_ = std::max(next, now_ + std::chrono::nanoseconds{1});
    while (!under_way_.empty() && under_way_.begin()->first <= now_) {
      const datagram what = std::move(under_way_.begin()->second);
      under_way_.erase(under_way_.begin());
      arrive(what);
    }
    for (const auto& [address, n] : at_) {
      if (const auto due = n->endpoint->deadline(); due && *due <= now_) {
        n->endpoint->on_time(now_);
      }
    }
  }
}

void quic_world::run_for(std::chrono::milliseconds time) {
  (void)run([] { return false; }, time);
}

} // namespace ovir::test
