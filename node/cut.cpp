#include "node/cut.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"
#include "messages/wire/frame.hpp"

#include <algorithm>

namespace ovir::supervision {

std::uint32_t prefill_chunk_for(const compute::model_config& config, std::uint32_t wanted) {
  const std::size_t rows_in_frame =
      (limits::frame_bytes_max - frame_overhead_bytes) / (std::size_t{config.dim} * sizeof(float));
  const std::size_t widest = std::max({config.dim, config.q_dim(), config.ffn_dim});
  const std::size_t rows_in_memory = limits::activation_bytes_max / (widest * sizeof(float));
  return static_cast<std::uint32_t>(std::min({std::size_t{wanted}, rows_in_frame, rows_in_memory}));
}

std::vector<layer_range> cut(const std::vector<std::uint64_t>& bytes_per_layer,
                             std::uint64_t head_bytes, std::uint32_t stages) {
  const auto layers = static_cast<std::uint32_t>(bytes_per_layer.size());
  OVIR_CHECK(stages >= 1 && stages <= layers, stages, layers);
  std::uint64_t left = head_bytes;
  for (const std::uint64_t bytes : bytes_per_layer) {
    left += bytes;
  }
  std::vector<layer_range> ranges;
  layer_index first = 0;
  for (std::uint32_t stage = 0; stage < stages; ++stage) {
    const std::uint32_t later = stages - stage - 1;
    layer_index last = first + 1;
    std::uint64_t taken = bytes_per_layer[first];
    // Take a layer while that brings the segment nearer to its share of what is left.
    const std::uint64_t share = left / (later + 1);
    while (last < layers - later && (later == 0 || taken + bytes_per_layer[last] / 2 < share)) {
      taken += bytes_per_layer[last];
      ++last;
    }
    ranges.push_back({first, last});
    left -= taken;
    first = last;
  }
  return ranges;
}

} // namespace ovir::supervision
