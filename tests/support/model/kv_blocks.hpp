#pragma once

#include "compute/forward/kv_block.hpp"

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

/// What somebody who knows the format does after changing a block: its check is right again.
void check_kv_block(std::vector<std::byte>& block);

/// The block sealed for the window of this name, and signed by the key of this seed.
[[nodiscard]] compute::kv_block::bytes_pointer
authored(std::vector<std::byte> block, const digest& window_name, std::uint8_t author);
[[nodiscard]] secret_key author_key(std::uint8_t seed);

} // namespace ovir::test
