#pragma once

#include "compute/forward/layer_engine.hpp"
#include "messages/ids.hpp"

#include <cstdint>
#include <span>

namespace ovir::compute {

/// Keeps `stream` [rows][dim], the boundary behind `layer`, where an engine's pass wants it, and
/// digests its whole windows. Nothing where that layer is not hashed.
void keep_boundary(engine_pass& pass, layer_index layer, std::span<const float> stream,
                   std::uint32_t dim);

} // namespace ovir::compute
