#include "actors/quic/quic_lanes.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>

namespace ovir::actors {

std::size_t quic_lanes::charge_of(std::size_t bytes) noexcept {
  return bytes + limits::message_overhead_bytes;
}

void quic_lanes::open(connection_id connection, channel kind) {
  const std::lock_guard lock{mutex_};
  lanes_[connection.value] = {kind, 0, true};
}

void quic_lanes::close(connection_id connection) {
  const std::lock_guard lock{mutex_};
  lanes_.erase(connection.value);
}

result<void> quic_lanes::reserve(connection_id connection, message_kind kind, std::size_t bytes) {
  const std::lock_guard lock{mutex_};
  const auto at = lanes_.find(connection.value);
  if (at == lanes_.end() || !at->second.accepting) {
    return fail(errc::peer_lost, "connection {} is gone", connection.value);
  }
  lane& mine = at->second;
  const std::size_t bytes_max = message_bytes_max(mine.kind, kind);
  if (bytes_max == 0) {
    return fail(errc::invalid_argument, "a message of kind {} does not belong on channel {}",
                static_cast<std::uint16_t>(kind), static_cast<std::uint8_t>(mine.kind));
  }
  if (bytes > bytes_max) {
    return fail(errc::over_limit, "a message of kind {} has {} bytes; at most {} are allowed",
                static_cast<std::uint16_t>(kind), bytes, bytes_max);
  }
  const std::size_t waiting_max = send_bytes_max(mine.kind);
  if (mine.waiting > waiting_max) {
    mine.accepting = false;
    return fail(errc::busy, "the peer takes its messages too slowly: {} MiB wait for it",
                waiting_max >> 20U);
  }
  mine.waiting += charge_of(bytes);
  return {};
}

void quic_lanes::release(connection_id connection, std::size_t charge) {
  const std::lock_guard lock{mutex_};
  if (const auto at = lanes_.find(connection.value); at != lanes_.end()) {
    at->second.waiting -= std::min(charge, at->second.waiting);
  }
}

std::size_t quic_lanes::waiting(connection_id connection) const {
  const std::lock_guard lock{mutex_};
  const auto at = lanes_.find(connection.value);
  return at == lanes_.end() ? 0 : at->second.waiting;
}

std::size_t quic_lanes::size() const {
  const std::lock_guard lock{mutex_};
  return lanes_.size();
}

} // namespace ovir::actors
