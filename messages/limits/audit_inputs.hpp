#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of the inputs of windows (actors/reuse/kept_inputs.hpp): kept by stages, fetched by
/// verifiers.
namespace ovir::limits {

inline constexpr std::size_t audit_inputs_memory_bytes = std::size_t{64} << 20U;
// What waits to be written to the disk; more is kept in memory only.
inline constexpr std::size_t audit_inputs_queue_bytes_max = std::size_t{64} << 20U;
// Of one commit: so many, and so many bytes; blocks and answers have the rest of it.
inline constexpr std::size_t audit_inputs_batch_max = 2'048;
inline constexpr std::size_t audit_inputs_batch_bytes_max = std::size_t{16} << 20U;
// Of a node's disk: K and V, and rows of boundaries; each at most what blocks have.
inline constexpr std::uint64_t audit_inputs_disk_bytes = std::uint64_t{1} << 30U;
inline constexpr std::uint64_t audit_rows_disk_bytes = std::uint64_t{512} << 20U;
// A source that owes inputs and says nothing for so long is not waited for any more.
inline constexpr std::chrono::seconds audit_inputs_wait{10};
inline constexpr std::size_t audit_input_fetches_max = 16; // of a node at one time

} // namespace ovir::limits
