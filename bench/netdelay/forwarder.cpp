#include "bench/netdelay/forwarder.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace ovir::netdelay {

namespace {

constexpr std::size_t ip_header_bytes = 20;
constexpr std::size_t ip_destination = 16;

instant now() { return std::chrono::steady_clock::now(); }

/// The machine that an IP packet is for, from 1; 0: none.
std::size_t destination(std::span<const std::byte> packet, std::size_t nodes) {
  const bool v4 = packet.size() >= ip_header_bytes && std::to_integer<int>(packet[0]) >> 4 == 4;
  return v4 ? node_of(reinterpret_cast<const unsigned char*>(&packet[ip_destination]), nodes) : 0;
}

} // namespace

forwarder::forwarder(reactor& in, std::span<const machine> machines,
                     std::span<const link_settings> links, std::uint64_t seed)
    : machines_(machines), random_(seed), timer_(in, [this] {
        timer_due_ = instant::max();
        deliver_due();
        set_timer();
      }) {
  for (const link_settings& settings : links) {
    links_.push_back({link_shaper{settings}});
  }
  for (std::size_t node = 0; node < machines.size(); ++node) {
    in.watch(machines[node].device.get(), [this, node] {
      take_from(node);
      set_timer();
    });
  }
}

const link_counts& forwarder::counts(std::size_t from, std::size_t to) const {
  return links_[from * machines_.size() + to].counts;
}

void forwarder::take_from(std::size_t node) {
  std::array<std::byte, packet_bytes_max> buffer; // NOLINT: read fills it
  for (int i = 0; i < batch_packets_max; ++i) {
    const ssize_t size = ::read(machines_[node].device.get(), buffer.data(), buffer.size());
    if (size <= 0) {
      break; // nothing more, or a device that is down
    }
    const std::span<const std::byte> packet{buffer.data(), static_cast<std::size_t>(size)};
    const std::size_t to = destination(packet, machines_.size());
    if (to > 0 && to - 1 != node) {
      enter(node * machines_.size() + to - 1, packet, now());
    }
  }
  deliver_due();
}

void forwarder::enter(std::size_t link, std::span<const std::byte> packet, instant now) {
  direction& d = links_[link];
  ++d.counts.sent;
  // Both are drawn for each packet, so that one setting does not change what another draws.
  const double loss = draw();
  const passage through = d.shaper.send(packet.size(), now, {loss, draw()});
  if (through.what != fate::arrives) {
    ++(through.what == fate::lost ? d.counts.lost : d.counts.no_room);
    return;
  }
  const bool alone = !d.queue.next_due();
  if (alone && through.at <= now) {
    hand_over(link, packet);
    return;
  }
  const std::size_t before = d.queue.bytes();
  if (flight_bytes_ + packet.size() > all_flight_bytes_max || !d.queue.push(through.at, packet)) {
    ++d.counts.no_memory;
    return;
  }
  flight_bytes_ += d.queue.bytes() - before;
  if (alone) {
    due_.push({through.at, link});
  }
}

void forwarder::deliver_due() {
  for (instant at; !due_.empty() && due_.top().due <= (at = now());) {
    const auto [due, link] = due_.top();
    due_.pop();
    direction& d = links_[link];
    const std::size_t before = d.queue.bytes();
    hand_over(link, d.queue.front());
    d.queue.pop();
    flight_bytes_ -= before - d.queue.bytes();
    ++late_.packets;
    late_.sum += at - due;
    late_.most = std::max<nanoseconds>(late_.most, at - due);
    if (const auto next = d.queue.next_due()) {
      due_.push({*next, link});
    }
  }
}

void forwarder::hand_over(std::size_t link, std::span<const std::byte> packet) {
  const machine& receiver = machines_[link % machines_.size()];
  direction& d = links_[link];
  const bool done = ::write(receiver.device.get(), packet.data(), packet.size()) ==
                    static_cast<ssize_t>(packet.size());
  ++(done ? d.counts.arrived : d.counts.refused);
}

void forwarder::set_timer() {
  if (!due_.empty() && due_.top().due < timer_due_) {
    timer_due_ = due_.top().due;
    timer_.set(timer_due_);
  }
}

} // namespace ovir::netdelay
