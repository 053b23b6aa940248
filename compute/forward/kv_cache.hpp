#pragma once

#include "compute/base/reserved_memory.hpp"
#include "compute/model/model_config.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>

namespace ovir::compute {

/// Keys and values of the layers of one segment for one request, as fp16 [layer][k or v][kv head]
/// [position][head_dim]. A resource: moved, never copied. Memory is reserved for `capacity`
/// positions when made, but pages are touched only as positions are written.
class kv_cache {
public:
  /// `over_limit` when the size in bytes exceeds `bytes_max`.
  [[nodiscard]] static result<kv_cache> make(const model_config& config, layer_range layers,
                                             std::uint32_t capacity, std::size_t bytes_max);

  /// Positions [0, length()) of every layer are valid.
  [[nodiscard]] position length() const noexcept { return length_; }
  void set_length(position n);
  [[nodiscard]] std::uint32_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t bytes() const noexcept {
    return 2 * layer_elements_ * layer_count_ * 2;
  }

  /// [position][head_dim] of one head of one layer; `layer` counts from the whole model's first.
  [[nodiscard]] std::uint16_t* keys(layer_index layer, std::uint32_t kv_head) noexcept;
  [[nodiscard]] std::uint16_t* values(layer_index layer, std::uint32_t kv_head) noexcept;
  [[nodiscard]] const std::uint16_t* keys(layer_index layer, std::uint32_t kv_head) const noexcept;
  [[nodiscard]] const std::uint16_t* values(layer_index layer,
                                            std::uint32_t kv_head) const noexcept;

  [[nodiscard]] bool holds(layer_index layer) const noexcept {
    return layer >= first_layer_ && layer - first_layer_ < layer_count_;
  }
  [[nodiscard]] std::uint32_t kv_heads() const noexcept { return kv_heads_; }
  [[nodiscard]] std::uint32_t head_dim() const noexcept { return head_dim_; }

private:
  reserved_memory<std::uint16_t> data_;
  layer_index first_layer_{0};
  std::uint32_t layer_count_{0};
  std::uint32_t kv_heads_{0};
  std::uint32_t head_dim_{0};
  std::uint32_t capacity_{0};
  std::size_t layer_elements_{0}; ///< of K (or V) of one layer
  position length_{0};
};

} // namespace ovir::compute
