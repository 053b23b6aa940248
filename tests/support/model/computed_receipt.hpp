#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/model/model.hpp"
#include "messages/evidence/receipt.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "tests/support/model/receipt_maker.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace ovir::test {

/// A lie of one stage: the boundary after `layer` over `window` times `factor`, handed on, stated
/// and signed as if it were computed.
struct boundary_lie {
  layer_index layer{0};
  std::uint32_t window{0};
  float factor{1.5F};
};

/// A receipt of three stages whose digests are those of a real computation, and the rows behind
/// them. Layers are a multiple of three. With a lie, what follows is computed from it and all else
/// is in order: what a forger with valid keys writes.
struct computed_receipt {
  computed_receipt(const receipt_maker& cast, const loaded_model& model, std::uint32_t prompt,
                   std::uint32_t output, std::optional<boundary_lie> lie = {});

  receipt r;
  /// Per layer, the boundary after it over all positions, [positions][dim].
  std::vector<std::vector<float>> boundaries;
};

} // namespace ovir::test
