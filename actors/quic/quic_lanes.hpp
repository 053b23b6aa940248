#pragma once

#include "actors/link/network.hpp"

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace ovir::actors {

/// How much waits on each admitted connection until the peer has it: what `send` may look at from
/// any thread. Thread-safe.
class quic_lanes {
public:
  void open(connection_id connection, channel kind);
  void close(connection_id connection);
  /// Counts a message that is to be sent. `peer_lost` when the connection is gone; `busy` when more
  /// than `send_bytes_max` wait already, and from then on `peer_lost`: its owner has to end it;
  /// `invalid_argument`, `over_limit` for a message that the channel does not take.
  [[nodiscard]] result<void> reserve(connection_id connection, message_kind kind,
                                     std::size_t bytes);
  /// The peer has messages of so much, overhead included.
  void release(connection_id connection, std::size_t charge);

  [[nodiscard]] static std::size_t charge_of(std::size_t bytes) noexcept;
  [[nodiscard]] std::size_t waiting(connection_id connection) const;
  /// Admitted connections.
  [[nodiscard]] std::size_t size() const;

private:
  struct lane {
    channel kind{channel::control};
    std::size_t waiting{0};
    bool accepting{true};
  };

  mutable std::mutex mutex_; ///< for what follows
  std::unordered_map<std::uint64_t, lane> lanes_;
};

} // namespace ovir::actors
