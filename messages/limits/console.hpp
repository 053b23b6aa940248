#pragma once

#include <chrono>
#include <cstddef>

/// Bounds of what the console asks of a node (gateway/console/console.hpp).
namespace ovir::limits {

inline constexpr std::size_t console_looks_max = 64;    // questions to the node under way at once
inline constexpr std::size_t console_watchers_max = 64; // streams of events
inline constexpr std::size_t job_paths_max = 64;        // of one request, told to whoever looks
inline constexpr std::size_t console_samples_max = 900; // of the charts
inline constexpr std::chrono::milliseconds console_sample_every{1'000};

} // namespace ovir::limits
