#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of replay capsules (docs/formats/capsule.md) and of what replays them.
namespace ovir::limits {

inline constexpr std::size_t capsule_bytes_max = std::size_t{256} << 20U;
inline constexpr std::size_t capsule_pieces_max = 1'024;
/// What a sandboxed process may say at the end.
inline constexpr std::size_t sandbox_output_bytes_max = std::size_t{64} << 20U;
/// Memory of a sandboxed process beside the files it was given.
inline constexpr std::uint64_t sandbox_memory_mib_default = 2'048;
inline constexpr std::uint64_t sandbox_memory_mib_max = std::uint64_t{1} << 20U;
inline constexpr std::chrono::seconds sandbox_time_default{600};
inline constexpr std::chrono::seconds sandbox_time_max{86'400};

} // namespace ovir::limits
