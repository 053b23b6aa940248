#pragma once

#include "compute/gguf/gguf.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>

namespace ovir::compute {

/// Which elements of a head's rotated part are turned together.
enum class rotary_pairs : std::uint8_t {
  neighbours, ///< 2i and 2i + 1
  halves,     ///< i and i + d / 2
};

/// The function of the gate in a feed-forward block.
enum class gate_function : std::uint8_t { silu, gelu };

/// How angles change so that a model reaches beyond the positions it was first trained for.
struct rope_scaling {
  enum class kind : std::uint8_t { none, linear, yarn };
  kind how{kind::none};
  double factor{1};           ///< 1 to limits::rope_factor_max
  double original_context{0}; ///< YaRN: positions of the first training, at least 1
  double beta_fast{32};       ///< YaRN: turns within them from which frequencies stay
  double beta_slow{1};        ///< YaRN: turns up to which they are divided by the factor
  double magnitude{1};        ///< YaRN: cos and sin are multiplied by it and by its own factor
};

/// What may differ from layer to layer.
struct layer_kind {
  std::uint32_t window{0}; ///< positions seen, itself included; 0: all before it
  bool rotated{true};      ///< queries and keys are rotated by position
  bool window_rope{false}; ///< by the angles of layers with a window
};

/// The shape of a model, as its metadata states it. All counts are positive and within `limits`;
/// heads divides evenly into kv_heads groups; head_dim is even.
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
  rope_scaling rope{};
  rotary_pairs rotary{rotary_pairs::neighbours};
  gate_function gate{gate_function::silu};
  double window_rope_base{0};    ///< of layers with a window; 0: all layers share one table
  std::uint32_t window{0};       ///< of layers that have one; 0: none has
  std::uint32_t global_every{0}; ///< see `architecture`
  std::uint32_t unrotated_every{0};
  std::uint32_t experts{0};        ///< of each layer; 0: its feed-forward block is dense
  std::uint32_t experts_used{0};   ///< by each row, at most `experts`
  std::uint32_t expert_ffn_dim{0}; ///< inner length of an expert
  std::uint32_t shared_ffn_dim{0}; ///< of the expert that every row uses; 0: there is none
  bool shares_of_all{false};       ///< softmax over all experts, not over those chosen
  float attention_scale{0};        ///< scores are multiplied by it
  float attention_cap{0};          ///< scores become cap * tanh(score / cap); 0: they do not
  float logit_cap{0};              ///< likewise logits
  float embedding_scale{1};        ///< token embeddings are multiplied by it
  float residual_scale{1};         ///< what a block adds is multiplied by it
  float logit_divisor{1};          ///< logits are divided by it

  [[nodiscard]] std::uint32_t kv_dim() const noexcept { return kv_heads * head_dim; }
  [[nodiscard]] std::uint32_t q_dim() const noexcept { return heads * head_dim; }
  [[nodiscard]] layer_kind kind_of(layer_index layer) const noexcept {
    const auto every = [layer](std::uint32_t n) { return n != 0 && (layer + 1) % n == 0; };
    const bool windowed = window != 0 && !every(global_every);
    return {windowed ? window : 0, !every(unrotated_every), windowed && window_rope_base != 0};
  }
};

/// Reads and checks the hyperparameters. `unsupported` names an unknown architecture or arithmetic
/// that its declaration does not cover; `malformed` names a missing or contradictory key.
[[nodiscard]] result<model_config> read_config(const gguf& file);

} // namespace ovir::compute
