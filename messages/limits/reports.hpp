#pragma once

#include <cstddef>

// Reports about faults, which strangers read
namespace ovir::limits {

inline constexpr std::size_t report_log_lines_max = 200;
inline constexpr std::size_t report_log_bytes_max = 256U << 10U; // of the log's end
/// Longer ones may be keys or ids.
inline constexpr std::size_t report_number_digits_max = 9;

} // namespace ovir::limits
