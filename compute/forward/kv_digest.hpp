#pragma once

#include "compute/forward/kv_cache.hpp"
#include "compute/model/model_config.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <cstdint>

namespace ovir::compute {

/// Digest of the K and V of one layer over the first `positions` of a window: what the unit of the
/// model's last layer puts out (docs/formats/receipt.md). Reads only rows of positions that are
/// computed, so it may run while later positions are.
[[nodiscard]] digest kv_digest(kv_cache& kv, const model_config& config, layer_index layer,
                               std::uint32_t window, std::uint32_t positions);

} // namespace ovir::compute
