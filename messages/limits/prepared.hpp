#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of prepared models and reveals (docs/formats/prepared.md, docs/formats/reveal.md).
namespace ovir::limits {

inline constexpr std::size_t prepared_bytes_max = std::size_t{2} << 30U;
inline constexpr std::size_t reveal_bytes_max = std::size_t{256} << 20U;
inline constexpr std::size_t reveals_max = 1'024; ///< checked by one call
/// |S| of an integer product that can be checked in the field: two of them differ by less than its
/// size.
inline constexpr std::uint64_t checked_sum_max = (std::uint64_t{1} << 60U) - 1;
/// Of how many places an auditor may compute one.
inline constexpr std::uint32_t spots_one_in_max = 64;

} // namespace ovir::limits
