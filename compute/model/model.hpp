#pragma once

#include "compute/base/parallel.hpp"
#include "compute/gguf/gguf.hpp"
#include "compute/model/model_config.hpp"
#include "compute/tensor/tensor.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace ovir::compute {

/// The weights of one expert.
struct expert_weights {
  weight gate; ///< [expert_ffn_dim][dim]
  weight up;   ///< [expert_ffn_dim][dim]
  weight down; ///< [dim][expert_ffn_dim]
};

/// Weights of one transformer layer. Shapes are [rows][cols]; vectors have one row and are F32.
/// Those that the model's architecture lacks are empty, and the forward pass leaves them out.
struct layer_weights {
  weight attn_norm;      ///< [1][dim], of the input
  weight attn_q;         ///< [q_dim][dim]
  weight attn_k;         ///< [kv_dim][dim]
  weight attn_v;         ///< [kv_dim][dim]
  weight attn_q_bias;    ///< [1][q_dim]
  weight attn_k_bias;    ///< [1][kv_dim]
  weight attn_v_bias;    ///< [1][kv_dim]
  weight attn_q_norm;    ///< [1][head_dim or q_dim]
  weight attn_k_norm;    ///< [1][head_dim or kv_dim]
  weight attn_output;    ///< [dim][q_dim]
  weight attn_post_norm; ///< [1][dim], of the output
  weight ffn_norm;       ///< [1][dim], of the input
  weight ffn_gate;       ///< [ffn_dim][dim]
  weight ffn_up;         ///< [ffn_dim][dim]
  weight ffn_down;       ///< [dim][ffn_dim]
  weight ffn_post_norm;  ///< [1][dim], of the output
  // Where the feed-forward block is a mixture of experts, in place of gate, up and down:
  weight ffn_router;      ///< [experts][dim]
  weight ffn_share;       ///< [1][dim], of the shared expert
  weight ffn_shared_gate; ///< [shared_ffn_dim][dim]
  weight ffn_shared_up;   ///< [shared_ffn_dim][dim]
  weight ffn_shared_down; ///< [dim][shared_ffn_dim]
  std::vector<expert_weights> experts;
};

/// One weight of a layer. `name` is the tensor's, between "blk.N." and ".weight", or of the view
/// where one tensor holds several.
struct layer_part {
  std::string_view name;
  weight layer_weights::*member;
  bool product; ///< multiplied with activations: checked at load, and packed
};

/// Every weight of a layer but those of its experts, in no order that matters.
inline constexpr std::array<layer_part, 21> layer_parts{{
    {"attn_norm", &layer_weights::attn_norm, false},
    {"attn_q", &layer_weights::attn_q, true},
    {"attn_k", &layer_weights::attn_k, true},
    {"attn_v", &layer_weights::attn_v, true},
    {"attn_q.bias", &layer_weights::attn_q_bias, false},
    {"attn_k.bias", &layer_weights::attn_k_bias, false},
    {"attn_v.bias", &layer_weights::attn_v_bias, false},
    {"attn_q_norm", &layer_weights::attn_q_norm, false},
    {"attn_k_norm", &layer_weights::attn_k_norm, false},
    {"attn_output", &layer_weights::attn_output, true},
    {"post_attention_norm", &layer_weights::attn_post_norm, false},
    {"ffn_norm", &layer_weights::ffn_norm, false},
    {"ffn_gate", &layer_weights::ffn_gate, true},
    {"ffn_up", &layer_weights::ffn_up, true},
    {"ffn_down", &layer_weights::ffn_down, true},
    {"post_ffw_norm", &layer_weights::ffn_post_norm, false},
    {"ffn_gate_inp", &layer_weights::ffn_router, true},
    {"ffn_gate_inp_shexp", &layer_weights::ffn_share, true},
    {"ffn_gate_shexp", &layer_weights::ffn_shared_gate, true},
    {"ffn_up_shexp", &layer_weights::ffn_shared_up, true},
    {"ffn_down_shexp", &layer_weights::ffn_shared_down, true},
}};

/// One weight of an expert; those of all experts of a layer are one tensor, one behind the other.
struct expert_part {
  std::string_view name;
  weight expert_weights::*member;
};
inline constexpr std::array<expert_part, 3> expert_parts{{
    {"ffn_gate_exps", &expert_weights::gate},
    {"ffn_up_exps", &expert_weights::up},
    {"ffn_down_exps", &expert_weights::down},
}};

/// Calls `f(name, weight, first)` for every product weight of a layer that is there; `first` is the
/// weight's first row in the tensor of that name.
template <class Layer, class F>
void for_each_product(Layer& layer, const F& f) {
  for (const layer_part& part : layer_parts) {
    if (auto& one = layer.*part.member; part.product && !one.empty()) {
      f(part.name, one, std::uint32_t{0});
    }
  }
  for (const expert_part& part : expert_parts) {
    std::uint32_t first = 0;
    for (auto& expert : layer.experts) {
      auto& one = expert.*part.member;
      f(part.name, one, first);
      first += one.rows;
    }
  }
}

/// Bytes of a weight in its file; 0 of an empty one.
[[nodiscard]] inline std::uint64_t file_bytes(const weight& w) noexcept {
  return w.empty() ? 0 : std::uint64_t{w.rows} * w.row_bytes();
}
[[nodiscard]] std::uint64_t file_bytes(const layer_weights& w) noexcept;

struct lora_weights; // compute/model/lora.hpp

/// A model bound to its file: configuration and weight views. Owns no tensor bytes; the mapped file
/// must outlive it.
struct model {
  model_config config;
  weight token_embedding; ///< [vocabulary][dim]
  weight output_norm;     ///< [1][dim], F32
  weight output;          ///< [vocabulary][dim]; the embedding itself where the head is tied
  weight rope_factors;    ///< [1][rope_dim / 2], F32; empty when the file has no `rope_freqs`
  std::vector<layer_weights> layers;
  /// The adapter that is part of it: every request of this model is computed with it. Null: none.
  std::shared_ptr<const lora_weights> lora;
};

/// Finds every tensor the configuration asks for and checks type and shape. Unknown tensors are
/// refused by name, so that a model is never run with a part of it ignored. Touches no tensor data.
[[nodiscard]] result<model> bind_model(const gguf& file);

/// Reads the scales of every product weight of `layers` (and of embedding and head where the range
/// includes them): infinite or NaN scales are refused, rows beyond the int64 bounds of exact-1
/// section 4 mark their weight `wide`, rows beyond the 128-bit path are refused.
[[nodiscard]] result<void> check_weights(model& m, layer_range layers, parallel_runner& runner);

} // namespace ovir::compute
