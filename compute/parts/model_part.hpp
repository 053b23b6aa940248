#pragma once

#include "compute/base/parallel.hpp"
#include "compute/base/reserved_memory.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/parts/segment_cut.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace ovir::compute {

/// A member's part of the weights of a segment. Rows are views into the model's file, of which the
/// other members' rows are never read; columns are copies, because a file has rows behind each
/// other. The file must outlive it. A resource: moved, never copied.
struct model_part {
  /// Layers of the segment have the part's rows and columns; other layers and the embedding are
  /// empty, and `output` has the part's rows of the head. The configuration is the whole model's.
  model weights;
  std::vector<std::unique_ptr<std::byte[]>> copies; ///< of columns, unless packed
  std::unique_ptr<void, reserved_delete> panels{};  ///< where the part is packed

  /// Bytes of weights that a pass reads.
  [[nodiscard]] std::uint64_t layer_bytes(layer_range layers) const noexcept;
};

/// Errors are those of `check_cut`. Reads columns, and nothing else. Rows that begin with a panel
/// of a packed matrix are packed, too.
[[nodiscard]] result<model_part> take_part(const model& whole, const segment_cut& cut,
                                           std::uint32_t member);

/// Packs the products of the part for `kernels`, which then read nothing else of them: columns that
/// were copied are given back. `over_limit` where there is no memory for it.
[[nodiscard]] result<void> pack_part(model_part& part, layer_range layers, isa kernels,
                                     parallel_runner& runner);

} // namespace ovir::compute
