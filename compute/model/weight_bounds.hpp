#pragma once

#include "compute/tensor/tensor.hpp"

#include <cstdint>
#include <optional>

/// The bounds of exact-1, section 4, that let products add in int64.
namespace ovir::compute {

/// What rows [first, last) of a quantised weight need.
struct row_bounds {
  bool wide{false}; ///< some row needs 128-bit sums
  /// First row with an infinite or NaN scale, or one of MXFP4 beyond what is computed with.
  std::optional<std::uint32_t> nonfinite;
};

/// Precondition: a quantised type. Reads the scales of every block; the rest of a row only where
/// its scales alone do not prove the bound. No allocation.
[[nodiscard]] row_bounds bounds_of_rows(const weight& w, std::uint32_t first, std::uint32_t last);

} // namespace ovir::compute
