#include "compute/parts/pass_boundaries.hpp"

#include "compute/model/transcript.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ovir::compute {

void keep_boundary(engine_pass& pass, layer_index layer, std::span<const float> stream,
                   std::uint32_t dim) {
  if (layer < pass.hashed.first || layer >= pass.hashed.last) {
    return;
  }
  const std::size_t at = layer - pass.hashed.first;
  std::copy(stream.begin(), stream.end(),
            pass.boundaries.begin() + static_cast<std::ptrdiff_t>(at * pass.rows * dim));
  std::size_t windows = 0;
  for (const engine_session& s : pass.sessions) {
    windows += s.windows;
  }
  std::span<digest> digests = pass.digests.subspan(at * windows, windows);
  for (const engine_session& s : pass.sessions) {
    if (s.windows > 0) {
      const position first = s.first + s.lead;
      const std::uint32_t count = s.windows * limits::window_positions;
      unit_digests whole{{layer, layer + 1}};
      whole.skip_to(first / limits::window_positions);
      std::vector<unit_leaf> leaves;
      whole.add(layer, first, count,
                stream.subspan(std::size_t{s.row + s.lead} * dim, std::size_t{count} * dim), dim,
                leaves);
      std::transform(leaves.begin(), leaves.end(), digests.begin(),
                     [](const unit_leaf& leaf) { return leaf.boundary; });
    }
    digests = digests.subspan(s.windows);
  }
}

} // namespace ovir::compute
