#pragma once

#include "compute/gguf.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>

namespace ovir::compute {

/// The shape of a llama-architecture model, as its metadata states it. All counts are positive and
/// within `limits`; heads divides evenly into kv_heads groups; head_dim is even.
struct model_config {
  std::string architecture;
  std::string name;
  std::uint32_t layers{0};
  std::uint32_t dim{0};      ///< length of the residual stream
  std::uint32_t ffn_dim{0};  ///< inner length of the feed-forward block
  std::uint32_t heads{0};    ///< query heads
  std::uint32_t kv_heads{0}; ///< key and value heads
  std::uint32_t head_dim{0}; ///< elements per head
  std::uint32_t rope_dim{0}; ///< leading elements of a head that are rotated; even
  std::uint32_t vocabulary{0};
  std::uint32_t context{0}; ///< positions the model was trained for
  float norm_epsilon{0};
  double rope_base{0};

  [[nodiscard]] std::uint32_t kv_dim() const noexcept { return kv_heads * head_dim; }
  [[nodiscard]] std::uint32_t q_dim() const noexcept { return heads * head_dim; }
};

/// Reads and checks the hyperparameters. `unsupported` names an unknown architecture or a RoPE
/// scaling this build does not compute; `malformed` names a missing or contradictory key.
[[nodiscard]] result<model_config> read_config(const gguf& file);

} // namespace ovir::compute
