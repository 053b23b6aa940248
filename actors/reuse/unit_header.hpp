#pragma once

#include "actors/reuse/cache_protocol.hpp"
#include "compute/forward/kv_block.hpp"

#include <cstdint>
#include <optional>

namespace ovir::actors {

/// What a stage says of a unit that it computed; nothing where it does not say all of it.
[[nodiscard]] std::optional<compute::kv_block_header>
header_of(const keep_units& units, std::uint32_t window, layer_index layer);

} // namespace ovir::actors
