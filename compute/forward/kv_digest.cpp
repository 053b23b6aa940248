#include "compute/forward/kv_digest.hpp"

#include "messages/limits/general.hpp"

#include <vector>

namespace ovir::compute {

digest kv_digest(layer_index layer, std::uint32_t window, std::uint32_t positions,
                 std::span<const std::span<const std::uint16_t>> parts) {
  hasher state{"ovir/statement/v1/kv"};
  state.update_u32(window).update_u32(layer).update_u32(positions);
  for (const std::span<const std::uint16_t> part : parts) {
    state.update(std::as_bytes(part));
  }
  return state.finish();
}

digest kv_digest(layer_index layer, std::uint32_t window, std::uint32_t positions,
                 std::span<const std::byte> parts) {
  hasher state{"ovir/statement/v1/kv"};
  return state.update_u32(window).update_u32(layer).update_u32(positions).update(parts).finish();
}

digest kv_digest(const kv_cache& kv, layer_index layer, std::uint32_t window,
                 std::uint32_t positions) {
  const std::size_t first = std::size_t{window} * limits::window_positions * kv.head_dim();
  const std::size_t count = std::size_t{positions} * kv.head_dim();
  std::vector<std::span<const std::uint16_t>> parts;
  for (std::uint32_t head = 0; head < kv.kv_heads(); ++head) {
    parts.emplace_back(kv.keys(layer, head) + first, count);
  }
  for (std::uint32_t head = 0; head < kv.kv_heads(); ++head) {
    parts.emplace_back(kv.values(layer, head) + first, count);
  }
  return kv_digest(layer, window, positions, parts);
}

} // namespace ovir::compute
