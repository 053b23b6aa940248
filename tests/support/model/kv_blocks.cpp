#include "tests/support/model/kv_blocks.hpp"

#include <algorithm>
#include <random>

namespace ovir::test {

compute::kv_cache filled_kv(layer_range layers, compute::kv_shape shape, std::uint32_t positions,
                            std::uint32_t seed) {
  compute::model_config config;
  config.layers = layers.last;
  config.kv_heads = shape.heads;
  config.head_dim = shape.head_dim;
  compute::kv_cache cache = compute::kv_cache::make(config, layers, positions, 1U << 28U).value();
  std::mt19937 random{seed};
  for (layer_index layer = layers.first; layer < layers.last; ++layer) {
    for (std::uint32_t head = 0; head < shape.heads; ++head) {
      for (std::uint16_t* const at : {cache.keys(layer, head), cache.values(layer, head)}) {
        std::generate_n(at, std::size_t{positions} * shape.head_dim, [&] {
          return static_cast<std::uint16_t>(random() & 0xBFFFU); // never all ones as exponent
        });
      }
    }
  }
  cache.set_length(positions);
  return cache;
}

compute::kv_block::bytes_pointer share(std::vector<std::byte> bytes) {
  return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

void check_kv_block(std::vector<std::byte>& block) {
  constexpr std::size_t from_end = 160; // check, seal, author, signature
  const std::span<std::byte> all{block};
  const digest check = hash("ovir/kv/v1/block", all.first(all.size() - from_end));
  std::transform(check.bytes.begin(), check.bytes.end(), all.last(from_end).begin(),
                 [](std::uint8_t b) { return std::byte{b}; });
}

secret_key author_key(std::uint8_t seed) {
  std::array<std::byte, secret_key::seed_size> bytes{};
  bytes.fill(std::byte{seed});
  return secret_key::from_seed(bytes);
}

compute::kv_block::bytes_pointer authored(std::vector<std::byte> block, const digest& window_name,
                                          std::uint8_t author) {
  compute::seal_kv_block(block, window_name);
  compute::sign_kv_block(block, author_key(author));
  return share(std::move(block));
}

} // namespace ovir::test
