#pragma once

#include "compute/gguf/gguf.hpp"
#include "compute/model/model.hpp"
#include "compute/tensor/tensor.hpp"
#include "messages/ids.hpp"
#include "messages/limits/learning.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

/// LoRA adapters (arXiv:2106.09685) as a model has them: beside a matrix W [out][in] stand
/// A [rank][in] and B [out][rank], and its product becomes W x + (alpha / rank) B (A x)
/// (docs/formats/adapter.md).
namespace ovir::compute {

/// A matrix of a layer that may have a pair. `name` is the tensor's between "blk.N." and ".weight".
struct lora_target {
  std::string_view name;
  weight layer_weights::*member;
};

/// In the order in which a layer uses them.
enum lora_place : std::uint8_t { at_q, at_k, at_v, at_output, at_gate, at_up, at_down };
inline constexpr std::array<lora_target, limits::adapter_targets> lora_targets{{
    {"attn_q", &layer_weights::attn_q},
    {"attn_k", &layer_weights::attn_k},
    {"attn_v", &layer_weights::attn_v},
    {"attn_output", &layer_weights::attn_output},
    {"ffn_gate", &layer_weights::ffn_gate},
    {"ffn_up", &layer_weights::ffn_up},
    {"ffn_down", &layer_weights::ffn_down},
}};

/// Both matrices of a target, as they lie in the file (F32, F16 or BF16); empty where the layer has
/// no pair for it.
struct lora_matrices {
  weight a;       ///< [rank][in]
  weight b;       ///< [out][rank]
  float scale{0}; ///< fl(alpha / rank)

  [[nodiscard]] bool empty() const noexcept { return a.empty(); }
};

/// The adapter of a model: of each layer, and of each of `lora_targets`. Owns no tensor bytes; the
/// mapped file must outlive it.
struct lora_weights {
  std::vector<std::array<lora_matrices, lora_targets.size()>> layers;

  /// Bytes in the file of the pairs of these layers.
  [[nodiscard]] std::uint64_t file_bytes(layer_range range) const noexcept;
};

/// The pairs among the tensors of `file` for `m`, whose other tensors are bound. Null where `file`
/// has no alpha. `malformed` or `unsupported` for an alpha out of range, half a pair, shapes other
/// than those of the model's matrices, pairs of matrices that the model lacks, a type that is no
/// float, or no pair at all; `over_limit` for a rank beyond limits::adapter_rank_max. Reads no
/// element.
[[nodiscard]] result<std::shared_ptr<const lora_weights>> bind_lora(const gguf& file,
                                                                    const model& m);

/// Reads every element of the pairs of `layers`: `malformed` where one is a NaN or an infinity.
[[nodiscard]] result<void> check_lora(const lora_weights& lora, layer_range layers);

} // namespace ovir::compute
