#pragma once

#include <cstdint>

/// Bounds on models that come as several files.
namespace ovir::limits {

inline constexpr std::uint32_t split_files_max = 1'000;

} // namespace ovir::limits
