#include "bench/netdelay/packet_queue.hpp"

namespace ovir::netdelay {

bool packet_queue::push(instant due, std::span<const std::byte> packet) {
  const std::size_t cost = packet.size() + packet_overhead_bytes;
  if (cost > bytes_max_ - bytes_) {
    return false;
  }
  packets_.push_back({due, {packet.begin(), packet.end()}});
  bytes_ += cost;
  return true;
}

std::optional<instant> packet_queue::next_due() const {
  return packets_.empty() ? std::nullopt : std::optional{packets_.front().due};
}

void packet_queue::pop() {
  bytes_ -= packets_.front().bytes.size() + packet_overhead_bytes;
  packets_.pop_front();
}

} // namespace ovir::netdelay
