#pragma once

#include "messages/limits/capsule.hpp"
#include "messages/result.hpp"
#include "messages/sanitized.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

/// Work on bytes that nobody vouches for, in a process that can do nothing but compute: it opens no
/// file and no socket, starts no program, maps no code, and has bounds on memory, time and what it
/// says. What is to be read is mapped or read before. seccomp (libseccomp), resource limits, and a
/// parent that waits.
namespace ovir::apps {

struct sandbox_limits {
  /// Address space beside what this process has already, so files mapped before do not count.
  std::uint64_t memory_bytes{limits::sandbox_memory_mib_default << 20U};
  std::chrono::seconds time{limits::sandbox_time_default}; ///< by the clock on the wall
  std::size_t output_bytes_max{limits::sandbox_output_bytes_max};
};

/// Runs `work` in a child process and returns what it returned. `over_limit`: it wanted more memory
/// or said too much; `timed_out`; `cancelled`: `interrupted` became true; `unsupported`: this
/// system cannot confine a process; `internal`: it was ended, also by a system call it may not
/// make. Precondition: this process has one thread. Files that are open here are closed there, but
/// for standard error.
[[nodiscard]] result<std::string> run_sandboxed(const sandbox_limits& bounds,
                                                const std::function<result<std::string>()>& work,
                                                const std::atomic<bool>& interrupted);

} // namespace ovir::apps
