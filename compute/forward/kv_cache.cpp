#include "compute/forward/kv_cache.hpp"

#include <utility>

namespace ovir::compute {

result<kv_cache> kv_cache::make(const model_config& config, layer_range layers,
                                std::uint32_t capacity, std::size_t bytes_max) {
  OVIR_CHECK(layers.size() > 0 && layers.last <= config.layers);
  kv_cache cache;
  cache.first_layer_ = layers.first;
  cache.layer_count_ = layers.size();
  cache.kv_heads_ = config.kv_heads;
  cache.head_dim_ = config.head_dim;
  cache.capacity_ = capacity;
  // kv_dim <= 2^20 and capacity <= 2^20, so the product fits by far.
  cache.layer_elements_ = std::size_t{config.kv_dim()} * capacity;
  const std::size_t bytes = cache.bytes();
  if (capacity == 0 || bytes > bytes_max) {
    return fail(errc::over_limit,
                "a KV cache of {} positions over {} layers needs {} MiB, more than the {} MiB "
                "allowed; ask for fewer tokens or a shorter prompt",
                capacity, layers.size(), bytes >> 20U, bytes_max >> 20U);
  }
  cache.data_ = reserve_for<std::uint16_t>(bytes / sizeof(std::uint16_t));
  if (!cache.data_) {
    return fail(errc::over_limit,
                "no memory for a KV cache of {} MiB; ask for fewer tokens or a shorter prompt",
                bytes >> 20U);
  }
  return cache;
}

void kv_cache::set_length(position n) {
  OVIR_CHECK(n <= capacity_, n, capacity_);
  length_ = n;
}

const std::uint16_t* kv_cache::keys(layer_index layer, std::uint32_t kv_head) const noexcept {
  return data_.get() + std::size_t{layer - first_layer_} * 2 * layer_elements_ +
         std::size_t{kv_head} * capacity_ * head_dim_;
}

const std::uint16_t* kv_cache::values(layer_index layer, std::uint32_t kv_head) const noexcept {
  return keys(layer, kv_head) + layer_elements_;
}

std::uint16_t* kv_cache::keys(layer_index layer, std::uint32_t kv_head) noexcept {
  return const_cast<std::uint16_t*>(std::as_const(*this).keys(layer, kv_head));
}

std::uint16_t* kv_cache::values(layer_index layer, std::uint32_t kv_head) noexcept {
  return keys(layer, kv_head) + layer_elements_;
}

} // namespace ovir::compute
