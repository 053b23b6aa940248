#pragma once

#include "bench/netdelay/link_shaper.hpp"
#include "bench/netdelay/packet_queue.hpp"
#include "bench/netdelay/reactor.hpp"
#include "bench/netdelay/world.hpp"

#include <cstdint>
#include <queue>
#include <random>
#include <span>

namespace ovir::netdelay {

/// What became of the packets of one direction.
struct link_counts {
  std::uint64_t sent{0};
  std::uint64_t arrived{0};
  std::uint64_t lost{0};
  std::uint64_t no_room{0};   ///< the buffer was full
  std::uint64_t no_memory{0}; ///< more was on its way than flight_bytes_max
  std::uint64_t refused{0};   ///< the receiver's kernel did not take it
};

/// How long after their time packets arrived, of those that had to wait.
struct lateness {
  std::uint64_t packets{0};
  nanoseconds sum{0};
  nanoseconds most{0};
};

/// Carries packets from machine to machine: each from the TUN device of its sender through the
/// shaper of its direction to the device of its receiver. Packets to other addresses, broadcasts
/// and IPv6 go nowhere.
class forwarder {
public:
  /// `links`: a direction from machine a to b, which count from 0, at a * machines + b.
  forwarder(reactor& in, std::span<const machine> machines, std::span<const link_settings> links,
            std::uint64_t seed);
  [[nodiscard]] const link_counts& counts(std::size_t from, std::size_t to) const;
  [[nodiscard]] const lateness& late() const { return late_; }

private:
  struct direction {
    link_shaper shaper;
    packet_queue queue{flight_bytes_max};
    link_counts counts{};
  };
  struct due_link {
    instant due;
    std::size_t link;
    bool operator>(const due_link& other) const { return due > other.due; }
  };

  void take_from(std::size_t node);
  void enter(std::size_t link, std::span<const std::byte> packet, instant now);
  void deliver_due();
  void hand_over(std::size_t link, std::span<const std::byte> packet);
  void set_timer();
  [[nodiscard]] double draw() { return std::generate_canonical<double, 53>(random_); }

  std::span<const machine> machines_;
  std::vector<direction> links_; ///< as given
  /// The next packet of each link that has one.
  std::priority_queue<due_link, std::vector<due_link>, std::greater<>> due_;
  instant timer_due_{instant::max()};
  std::size_t flight_bytes_{0}; ///< on all links
  lateness late_;
  std::mt19937_64 random_;
  timer timer_;
};

} // namespace ovir::netdelay
