#pragma once

#include "bench/netdelay/limits.hpp"

#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace ovir::netdelay {

/// Packets on their way in one direction, in the order of their arrival. Holds at most `bytes_max`
/// bytes, `packet_overhead_bytes` of each packet included.
class packet_queue {
public:
  explicit packet_queue(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// False: there is no room. `due` must not precede that of the packet before.
  [[nodiscard]] bool push(instant due, std::span<const std::byte> packet);
  /// When the first packet arrives; none: the queue is empty.
  [[nodiscard]] std::optional<instant> next_due() const;
  /// The first packet, until `pop`. REQUIRES: the queue is not empty.
  [[nodiscard]] std::span<const std::byte> front() const { return packets_.front().bytes; }
  void pop();
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

private:
  struct packet {
    instant due;
    std::vector<std::byte> bytes;
  };

  std::deque<packet> packets_;
  std::size_t bytes_{0};
  std::size_t bytes_max_;
};

} // namespace ovir::netdelay
