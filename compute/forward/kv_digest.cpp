#include "compute/forward/kv_digest.hpp"

#include "messages/limits/general.hpp"

#include <span>

namespace ovir::compute {

digest kv_digest(kv_cache& kv, const model_config& config, layer_index layer, std::uint32_t window,
                 std::uint32_t positions) {
  hasher state{"ovir/statement/v1/kv"};
  state.update_u32(window).update_u32(layer).update_u32(positions);
  const std::size_t first = std::size_t{window} * limits::window_positions * config.head_dim;
  const std::size_t count = std::size_t{positions} * config.head_dim;
  for (std::uint32_t head = 0; head < config.kv_heads; ++head) {
    state.update(std::as_bytes(std::span{kv.keys(layer, head) + first, count}));
  }
  for (std::uint32_t head = 0; head < config.kv_heads; ++head) {
    state.update(std::as_bytes(std::span{kv.values(layer, head) + first, count}));
  }
  return state.finish();
}

} // namespace ovir::compute
