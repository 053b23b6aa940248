#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of the Python package (bindings/python) and of libovir (bindings/cpp).
namespace ovir::limits {

/// What one run may reserve for its K and V, for the logits it keeps, and for the boundaries it
/// keeps: of each so many bytes.
inline constexpr std::uint64_t python_run_bytes_max = std::uint64_t{4} << 30U;
/// A decoded copy of rows of a tensor.
inline constexpr std::uint64_t python_copy_bytes_max = std::uint64_t{16} << 30U;

// libovir's client of a cluster

/// Of an answer that is no stream.
inline constexpr std::size_t cluster_body_bytes_max = std::size_t{64} << 20U;
/// Of an event of a stream.
inline constexpr std::size_t cluster_line_bytes_max = std::size_t{4} << 20U;
/// How often a stream is taken up again without an event in between.
inline constexpr std::uint32_t cluster_resumes_max = 8;
inline constexpr std::size_t cluster_address_bytes_max = 4'096;

} // namespace ovir::limits
