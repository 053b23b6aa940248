#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of libovir's client of a cluster (bindings/cpp).
namespace ovir::limits {

/// Of an answer that is no stream.
inline constexpr std::size_t cluster_body_bytes_max = std::size_t{64} << 20U;
/// Of an event of a stream.
inline constexpr std::size_t cluster_line_bytes_max = std::size_t{4} << 20U;
/// How often a stream is taken up again without an event in between.
inline constexpr std::uint32_t cluster_resumes_max = 8;
inline constexpr std::size_t cluster_address_bytes_max = 4'096;

} // namespace ovir::limits
