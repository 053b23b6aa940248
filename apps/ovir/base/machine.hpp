#pragma once

#include "compute/base/parallel.hpp"
#include "compute/kernels/kernels.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstdint>
#include <string>

/// What this machine is and has, for `doctor` and `bench`.
namespace ovir::apps {

struct machine {
  std::string processor; ///< its name, or empty
  std::uint32_t processors{1};
  std::uint64_t memory_bytes{0};
  std::uint64_t memory_available_bytes{0};
  std::uint64_t page_bytes{0};
  std::string huge_pages;          ///< the setting of transparent huge pages, or empty
  std::uint64_t open_files_max{0}; ///< 0: unlimited, as for the next
  std::uint64_t locked_bytes_max{0};
  std::string system; ///< kernel name, release and architecture
};

[[nodiscard]] machine this_machine(storage::env& environment);

/// Bytes per second of only reading with all threads of `runner`, in large pages as weights are,
/// from a buffer that few caches hold: the median of a few passes. Takes about half a second and
/// 512 MiB; `over_limit` when there is no such memory. Precondition: `processor_has(id)`.
[[nodiscard]] result<double> read_bandwidth(compute::isa id, compute::parallel_runner& runner,
                                            storage::env& environment);

/// The most memory this process has held so far.
[[nodiscard]] std::uint64_t peak_rss_bytes(storage::env& environment);

} // namespace ovir::apps
