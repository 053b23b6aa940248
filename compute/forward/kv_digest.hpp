#pragma once

#include "compute/forward/kv_cache.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ovir::compute {

/// Digest of the K and V of one layer over the first `positions` of a window, as statements name
/// them (docs/formats/receipt.md). `parts`: of each head the keys, then of each the values, as
/// fp16, [positions][head_dim].
[[nodiscard]] digest kv_digest(layer_index layer, std::uint32_t window, std::uint32_t positions,
                               std::span<const std::span<const std::uint16_t>> parts);
/// As one run of bytes.
[[nodiscard]] digest kv_digest(layer_index layer, std::uint32_t window, std::uint32_t positions,
                               std::span<const std::byte> parts);
/// Of what a cache holds. Reads only rows of positions that are computed, so it may run while later
/// positions are.
[[nodiscard]] digest kv_digest(const kv_cache& kv, layer_index layer, std::uint32_t window,
                               std::uint32_t positions);

/// K and V of one layer over the first `positions` of a window as one run of bytes, as `kv_digest`
/// takes them. Reads only rows of positions that are computed.
[[nodiscard]] std::vector<std::byte> kv_bytes(const kv_cache& from, layer_index layer,
                                              std::uint32_t window, std::uint32_t positions);
/// The other way: puts such bytes where they belong in `to`. Precondition: `to` has the layer and
/// room for the window, and the bytes are as many as its shape makes of `positions`.
void copy_kv(std::span<const std::byte> bytes, kv_cache& to, layer_index layer,
             std::uint32_t window, std::uint32_t positions);
/// So many.
[[nodiscard]] std::size_t kv_bytes_of(std::uint32_t kv_heads, std::uint32_t head_dim,
                                      std::uint32_t positions) noexcept;
/// Whether none of the numbers in such bytes is a NaN or infinity.
[[nodiscard]] bool is_finite_kv(std::span<const std::byte> bytes) noexcept;

} // namespace ovir::compute
