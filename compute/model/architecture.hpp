#pragma once

#include "compute/model/model_config.hpp"

#include <cstdint>
#include <span>
#include <string_view>

/// What a model family is, as a declaration: which of the shared operations its blocks use, and
/// which metadata it gives a meaning. The forward pass knows no family by name
/// (docs/architectures.md shows how to add one).
namespace ovir::compute {

/// Whether a family's files have a tensor.
enum class presence : std::uint8_t { absent, required };

/// Root-mean-square norms of queries and keys before they are rotated.
enum class head_norms : std::uint8_t {
  none,
  each_head, ///< one weight [head_dim] for every head
  whole_row, ///< over all heads together
};

/// How the shares of the experts chosen for a row are made of the router's logits.
enum class expert_shares : std::uint8_t {
  none,      ///< the family has no experts
  of_all,    ///< softmax over all experts
  of_chosen, ///< softmax over those chosen
};

/// A family of models. Default values are llama's.
struct architecture {
  /// `general.architecture`, and what its keys begin with.
  std::string_view name;

  // Attention.
  rotary_pairs rotary{rotary_pairs::neighbours};
  presence qkv_biases{presence::absent};        ///< `attn_q.bias`, `attn_k.bias`, `attn_v.bias`
  head_norms query_key_norms{head_norms::none}; ///< `attn_q_norm`, `attn_k_norm`
  bool fused_qkv{false};            ///< queries, keys and values are rows of one `attn_qkv`
  std::uint32_t unrotated_every{0}; ///< every so manieth layer does not rotate; 0: all do

  // Windows of attention, where the file states one (`attention.sliding_window`).
  std::uint32_t global_every{0}; ///< every so manieth layer sees all positions; 0: none does
  double window_rope_base{0};    ///< rotary base of layers with a window; 0: the file's own
  /// Models of this many layers scale scores by 1 / sqrt(dim / heads), not 1 / sqrt(head_dim).
  std::uint32_t layers_scaled_by_width{0};

  // Feed-forward.
  gate_function gate{gate_function::silu};
  bool fused_gate_up{false}; ///< the gate's rows and then the others' are one `ffn_up`

  // Mixtures of experts, in files that state `expert_count`.
  expert_shares experts{expert_shares::none};
  bool shared_expert{false}; ///< one more that every row passes through, with a share of its own

  // Around the blocks.
  bool input_norms{true};         ///< `attn_norm`, `ffn_norm`: of what a block reads
  bool output_norms{false};       ///< `post_attention_norm`, `post_ffw_norm`: of what a block adds
  bool embeddings_by_root{false}; ///< token embeddings times sqrt(dim)
  /// A window where the file states none; 0: none.
  std::uint32_t window_otherwise{0};

  /// Keys, without the name and its dot, that change the arithmetic and that this family gives a
  /// meaning. Any such key that is not listed is refused unless it is neutral.
  std::span<const std::string_view> reads{};
};

/// The declaration of that name; null when this build has none.
[[nodiscard]] const architecture* find_architecture(std::string_view name) noexcept;

/// "llama, qwen2, ...", for messages.
[[nodiscard]] std::string_view architecture_names();

extern const architecture gemma_architecture;
extern const architecture gemma2_architecture;
extern const architecture gemma3_architecture;
extern const architecture granite_architecture;
extern const architecture llama_architecture;
extern const architecture olmo2_architecture;
extern const architecture phi3_architecture;
extern const architecture qwen2_architecture;
extern const architecture qwen2moe_architecture;
extern const architecture qwen3_architecture;
extern const architecture qwen3moe_architecture;
extern const architecture smollm3_architecture;

} // namespace ovir::compute
