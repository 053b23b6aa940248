#include "tests/support/model/kv_blocks.hpp"

#include "compute/forward/kv_digest.hpp"

#include <algorithm>
#include <cstring>
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
  constexpr std::size_t header = 192;
  const std::span<std::byte> all{block};
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    std::memcpy(&value, block.data() + at, sizeof value);
    return value;
  };
  const digest kv = compute::kv_digest(number(8), number(12), 32,
                                       all.subspan(header, all.size() - header - from_end));
  const digest check = hasher{"ovir/kv/v2/block"}.update(all.first(header)).update(kv).finish();
  std::transform(check.bytes.begin(), check.bytes.end(), all.last(from_end).begin(),
                 [](std::uint8_t b) { return std::byte{b}; });
}

std::vector<std::byte> kv_bytes(const compute::kv_cache& from, layer_index layer,
                                std::uint32_t window, const digest& key, const digest* output) {
  compute::kv_block_header what{layer, window, {}, key, hash_plain({}), {}, {}, {}, {}};
  what.kv = compute::kv_digest(from, layer, window, 32);
  what.output = output != nullptr ? *output : what.kv;
  return compute::encode_kv_block(from, what);
}

std::vector<window_origin> origins_of(const compute::kv_cache& kv, layer_range layers,
                                      std::uint32_t windows) {
  std::vector<window_origin> all;
  std::vector<digest> earlier(layers.size());
  for (std::uint32_t w = 0; w < windows; ++w) {
    window_origin origin{w, hasher{"ovir/test/input"}.update_u32(w).finish(), earlier, {}, {}};
    for (layer_index l = layers.first; l < layers.last; ++l) {
      origin.kv.push_back(compute::kv_digest(kv, l, w, 32));
      digest& next = earlier[l - layers.first];
      next = with_earlier(next, origin.kv.back());
    }
    all.push_back(std::move(origin));
  }
  return all;
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
