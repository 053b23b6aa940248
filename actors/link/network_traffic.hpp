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
};

} // namespace ovir::actors
