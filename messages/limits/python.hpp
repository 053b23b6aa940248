#pragma once

#include <cstdint>

/// Bounds of the Python package (bindings/python).
namespace ovir::limits {

/// What one run may reserve for its K and V, for the logits it keeps, and for the boundaries it
/// keeps: of each so many bytes.
inline constexpr std::uint64_t python_run_bytes_max = std::uint64_t{4} << 30U;
/// A decoded copy of rows of a tensor.
inline constexpr std::uint64_t python_copy_bytes_max = std::uint64_t{16} << 30U;

} // namespace ovir::limits
