// Any bytes as a KV block: what is accepted must hold what it says it holds, copy into a cache of
// its shape, and encode from there to the very bytes it came from, but for who signed it.
#include "compute/forward/kv_block.hpp"
#include "messages/check.hpp"
#include "messages/limits/general.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ovir;
  const auto* const first = reinterpret_cast<const std::byte*>(data);
  auto bytes = std::make_shared<const std::vector<std::byte>>(first, first + size);
  const auto block = compute::kv_block::decode(bytes);
  if (!block) {
    OVIR_CHECK(!block.error().message.empty());
    return 0;
  }
  const compute::kv_block_header& h = block->header();
  OVIR_CHECK(block->keys().size() + block->values().size() <= size);
  compute::model_config config;
  config.layers = h.layer + 1;
  config.kv_heads = h.shape.heads;
  config.head_dim = h.shape.head_dim;
  const std::uint32_t positions = (h.window + 1) * limits::window_positions;
  auto cache = compute::kv_cache::make(config, {h.layer, h.layer + 1}, positions, 64U << 20U);
  if (!cache) {
    return 0; // a window far out in a wide model
  }
  block->copy_to(*cache);
  const auto again = compute::encode_kv_block(*cache, h);
  constexpr std::size_t signed_bytes = 128; // seal, author, signature
  OVIR_CHECK(again.size() == size &&
             std::equal(again.begin(), again.end() - signed_bytes, bytes->begin()));
  OVIR_CHECK(block->author() == compute::author_of_kv_block(*bytes));
  static_cast<void>(block->is_sealed(h.key));
  static_cast<void>(block->is_signed());
  return 0;
}
