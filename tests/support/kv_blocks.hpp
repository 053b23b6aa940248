#pragma once

#include "compute/kv_block.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ovir::test {

/// A cache of this shape whose first `positions` positions hold finite numbers that follow from
/// `seed`.
[[nodiscard]] compute::kv_cache filled_kv(layer_range layers, compute::kv_shape shape,
                                          std::uint32_t positions, std::uint32_t seed);

[[nodiscard]] compute::kv_block::bytes_pointer share(std::vector<std::byte> bytes);

/// What somebody who knows the format does after changing a block: the check at its end is right
/// again.
void seal_kv_block(std::vector<std::byte>& block);

} // namespace ovir::test
