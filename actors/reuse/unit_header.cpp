#include "actors/reuse/unit_header.hpp"

#include "compute/forward/prefix.hpp"

#include <algorithm>

namespace ovir::actors {

namespace {

const digest* output_of(const keep_units& units, const compute::unit_name& name) {
  const auto leaf = std::find_if(units.leaves.begin(), units.leaves.end(),
                                 [&](const compute::unit_leaf& l) { return l.unit == name; });
  return leaf == units.leaves.end() ? nullptr : &leaf->boundary;
}

} // namespace

std::optional<compute::kv_block_header> header_of(const keep_units& units, std::uint32_t window,
                                                  layer_index layer) {
  const unit_scope& scope = units.scope;
  const auto origin = std::find_if(units.origins.begin(), units.origins.end(),
                                   [&](const window_origin& o) { return o.window == window; });
  if (origin == units.origins.end()) {
    return std::nullopt;
  }
  const std::size_t at = layer - scope.layers.first;
  const digest& kv = origin->kv[at];
  const digest* const input = at == 0 ? &origin->input : output_of(units, {window, layer - 1});
  const digest* const output =
      layer + 1 == scope.model_layers ? &kv : output_of(units, {window, layer});
  if (input == nullptr || output == nullptr) {
    return std::nullopt;
  }
  const digest& name = (*units.prefixes)[window - units.first];
  return compute::kv_block_header{
      layer,       window, scope.shape,         compute::unit_key(scope.model, layer, name),
      scope.model, *input, origin->earlier[at], *output,
      kv};
}

} // namespace ovir::actors
