#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of `ovir bench`; see messages/limits/general.hpp.
namespace ovir::limits {

/// Values of one list, such as `--batch 1,2,4`.
inline constexpr std::size_t bench_list_max = 16;

} // namespace ovir::limits
