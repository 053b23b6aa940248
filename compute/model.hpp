#pragma once

#include "compute/gguf.hpp"
#include "compute/model_config.hpp"
#include "compute/parallel.hpp"
#include "compute/tensor.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <vector>

namespace ovir::compute {

/// Weights of one transformer layer. Shapes are [rows][cols]; vectors have one row.
struct layer_weights {
  weight attn_norm;   ///< [1][dim], F32
  weight attn_q;      ///< [q_dim][dim]
  weight attn_k;      ///< [kv_dim][dim]
  weight attn_v;      ///< [kv_dim][dim]
  weight attn_output; ///< [dim][q_dim]
  weight ffn_norm;    ///< [1][dim], F32
  weight ffn_gate;    ///< [ffn_dim][dim]
  weight ffn_up;      ///< [ffn_dim][dim]
  weight ffn_down;    ///< [dim][ffn_dim]
};

/// A model bound to its file: configuration and weight views. Owns no tensor bytes; the mapped file
/// must outlive it.
struct model {
  model_config config;
  weight token_embedding; ///< [vocabulary][dim]
  weight output_norm;     ///< [1][dim], F32
  weight output;          ///< [vocabulary][dim]; the embedding itself where the head is tied
  weight rope_factors;    ///< [1][rope_dim / 2], F32; empty when the file has no `rope_freqs`
  std::vector<layer_weights> layers;
};

/// Finds every tensor the configuration asks for and checks type and shape. Unknown tensors are
/// refused by name, so that a model is never run with a part of it ignored. Touches no tensor data.
[[nodiscard]] result<model> bind_model(const gguf& file);

/// Reads the scales of every product weight of `layers` (and of embedding and head where the range
/// includes them): infinite or NaN scales are refused, rows beyond the int64 bounds of exact-1
/// section 4 mark their weight `wide`, rows beyond the 128-bit path are refused.
[[nodiscard]] result<void> check_weights(model& m, layer_range layers, parallel_runner& runner);

} // namespace ovir::compute
