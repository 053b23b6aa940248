#pragma once

#include <cstddef>

/// Bounds of a request's trace (actors/request/request_trace.hpp).
namespace ovir::limits {

inline constexpr std::size_t trace_feeds_max = 4'096; // steps and passes of prompts; the first ones
inline constexpr std::size_t trace_passes_max = 65'536;           // of stages
inline constexpr std::size_t trace_marks_max = 256;               // paths, troubles, recoveries
inline constexpr std::size_t trace_shown_bytes_max = 512U << 10U; // of the file, to a shell

} // namespace ovir::limits
