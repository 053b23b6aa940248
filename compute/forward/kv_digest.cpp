#include "compute/forward/kv_digest.hpp"

#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <cstring>

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

std::size_t kv_bytes_of(std::uint32_t kv_heads, std::uint32_t head_dim,
                        std::uint32_t positions) noexcept {
  return std::size_t{2} * kv_heads * head_dim * positions * sizeof(std::uint16_t);
}

// A binary16 number is finite unless its exponent is all ones.
bool is_finite_kv(std::span<const std::byte> bytes) noexcept {
  constexpr std::uint16_t exponent = 0x7C00;
  std::uint32_t wrong = 0;
  for (std::size_t at = 0; at + sizeof(std::uint16_t) <= bytes.size();
       at += sizeof(std::uint16_t)) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + at, sizeof bits);
    wrong |= static_cast<std::uint32_t>((bits & exponent) == exponent);
  }
  return wrong == 0;
}

std::vector<std::byte> kv_bytes(const kv_cache& from, layer_index layer, std::uint32_t window,
                                std::uint32_t positions) {
  const std::size_t first = std::size_t{window} * limits::window_positions * from.head_dim();
  const std::size_t head = std::size_t{positions} * from.head_dim() * sizeof(std::uint16_t);
  std::vector<std::byte> bytes(kv_bytes_of(from.kv_heads(), from.head_dim(), positions));
  std::byte* const values = bytes.data() + bytes.size() / 2;
  for (std::uint32_t i = 0; i < from.kv_heads(); ++i) {
    std::memcpy(bytes.data() + i * head, from.keys(layer, i) + first, head);
    std::memcpy(values + i * head, from.values(layer, i) + first, head);
  }
  return bytes;
}

void copy_kv(std::span<const std::byte> bytes, kv_cache& to, layer_index layer,
             std::uint32_t window, std::uint32_t positions) {
  const std::size_t at = std::size_t{window} * limits::window_positions;
  OVIR_CHECK(to.holds(layer) && at + positions <= to.capacity() &&
                 bytes.size() == kv_bytes_of(to.kv_heads(), to.head_dim(), positions),
             layer, window);
  const std::size_t first = at * to.head_dim();
  const std::size_t head = std::size_t{positions} * to.head_dim() * sizeof(std::uint16_t);
  const std::byte* const values = bytes.data() + bytes.size() / 2;
  for (std::uint32_t i = 0; i < to.kv_heads(); ++i) {
    std::memcpy(to.keys(layer, i) + first, bytes.data() + i * head, head);
    std::memcpy(to.values(layer, i) + first, values + i * head, head);
  }
}

} // namespace ovir::compute
