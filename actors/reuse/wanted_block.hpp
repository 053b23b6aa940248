#pragma once

#include "compute/forward/kv_block.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ovir::actors {

/// A block that is not here: the name it is kept under, and what it has to be.
struct wanted_block {
  digest place;       ///< its unit's key
  digest window_name; ///< from which that follows, and its seal
  layer_index layer{0};
  std::uint32_t window{0};
  compute::kv_shape shape;
  bool model_last{false}; ///< of the model's last layer
};
/// The blocks that a window lacks; with them it is whole. May be none.
using wanted_window = std::vector<wanted_block>;

/// A question to a node about blocks, or inputs, with these names.
struct block_ask {
  node_id source;
  std::uint64_t ticket{0};
  std::vector<digest> places;
};

/// One that came, checked.
struct fetched_block {
  wanted_block wanted;
  node_id author; ///< who computed it, not who sent it
  std::shared_ptr<const std::vector<std::byte>> bytes;
};

} // namespace ovir::actors
