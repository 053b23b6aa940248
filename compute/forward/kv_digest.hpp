#pragma once

#include "compute/forward/kv_cache.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

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

} // namespace ovir::compute
