#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/layer_step.hpp"
#include "compute/model/lora.hpp"
#include "messages/ids.hpp"

#include <span>

/// What adapters add to the products of a layer, each session's own: sessions of one pass may have
/// different ones, and some none (docs/formats/adapter.md, "Computing").
namespace ovir::compute {

/// A product of which `output` [rows][out] is what the weights gave, second terms included.
struct adapted_product {
  lora_place place;
  float* output;
};

/// Whether a session that goes on has a pair for one of these places of the layer.
[[nodiscard]] bool adapts(std::span<const session_rows> sessions, layer_index layer,
                          std::span<const adapted_product> products) noexcept;

/// y = fma(scale, B (A x), y) for every row of a session with an adapter, x the row of `input`: the
/// vector from which the product's integers were made. A row's bits depend on nothing but the row
/// and its session's adapter. Precondition: `products` have `input` in common.
void add_pairs(const kernel_set& kernels, std::span<const session_rows> sessions, layer_index layer,
               const activations& input, std::span<const adapted_product> products,
               std::vector<float>& scratch, parallel_runner& runner);

} // namespace ovir::compute
