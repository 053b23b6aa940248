#pragma once

#include <atomic>
#include <cstdint>

namespace ovir::actors {

/// Bytes on the wire since the network began, as they are encrypted, and those that went through
/// memory instead. Any thread.
struct network_traffic {
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> shared_received{0};
  std::atomic<std::uint64_t> shared_sent{0};

  // Of these, over QUIC (actors/quic/), and what only QUIC tells.
  std::atomic<std::uint64_t> quic_received{0};
  std::atomic<std::uint64_t> quic_sent{0};
  std::atomic<std::uint64_t> quic_datagrams{0}; ///< sent
  std::atomic<std::uint64_t> quic_lost{0};      ///< of those: sent again
  std::atomic<std::uint64_t> quic_sessions{0};  ///< connections now
  std::atomic<std::uint64_t> quic_rtt_us{0};    ///< their mean round trip, microseconds
};

} // namespace ovir::actors
