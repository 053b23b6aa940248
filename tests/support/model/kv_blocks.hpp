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

/// The block of a unit of the model hash_plain({}). Without `output` that of the last layer.
[[nodiscard]] std::vector<std::byte> kv_bytes(const compute::kv_cache& from, layer_index layer,
                                              std::uint32_t window, const digest& key,
                                              const digest* output);
/// Of the first windows of a cache, as a stage that computed them says; what came in is made up.
[[nodiscard]] std::vector<window_origin> origins_of(const compute::kv_cache& kv, layer_range layers,
                                                    std::uint32_t windows);

/// What somebody who knows the format does after changing a block: its check is right again.
void check_kv_block(std::vector<std::byte>& block);

/// The block sealed for the window of this name, and signed by the key of this seed.
[[nodiscard]] compute::kv_block::bytes_pointer
authored(std::vector<std::byte> block, const digest& window_name, std::uint8_t author);
[[nodiscard]] secret_key author_key(std::uint8_t seed);

} // namespace ovir::test
