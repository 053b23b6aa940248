#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace ovir::test {

/// What a process has of the machine, as /proc tells.
struct process_use {
  std::size_t descriptors{0};
  std::size_t threads{0};
  std::uint64_t resident_bytes{0};
  std::uint64_t peak_bytes{0}; ///< the most that was resident, since `forget_peak` or its start
};

/// Empty when there is no such process (any more).
[[nodiscard]] std::optional<process_use> use_of_process(pid_t id);

/// Counts its peak anew from now on; where the system does not let us, it stays as it is.
void forget_peak(pid_t id);

/// Which of these processes has the socket connected from each of these ports of 127.0.0.1: an
/// index into `processes`, or their number where none has. Reads the machine's list of connections
/// once.
[[nodiscard]] std::vector<std::size_t> owners_of_ports(const std::vector<pid_t>& processes,
                                                       const std::vector<std::uint16_t>& ports);

/// A port of 127.0.0.1 that nobody has, below those the system gives to outgoing connections: while
/// a node is down, no connection takes its place by chance. Each call returns another.
[[nodiscard]] std::uint16_t free_port();
/// The first of so many free ports in a row.
[[nodiscard]] std::uint16_t free_ports(std::uint32_t count);

} // namespace ovir::test
