#pragma once

#include "compute/gguf/manifest.hpp"
#include "compute/model/model.hpp"
#include "messages/evidence/prepared.hpp"
#include "verify/proofs/statement.hpp"

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

/// What is published of a model so that proofs about it can be checked without its weights: its
/// manifest, the commitments of its matrices, its vectors. docs/formats/roots.md is the format.
namespace ovir::proofs {

/// What the roots hold of a tensor.
enum class tensor_role : std::uint8_t {
  embedding, ///< rows alone: they are in the tree of embeddings
  matrix,    ///< a commitment
  vector,    ///< its bytes
};

/// Of a tensor of a plain llama model by its name; nothing of any other. `tied`: the model has no
/// head of its own, so that the embedding is one.
[[nodiscard]] std::optional<tensor_role> role_of(std::string_view name, bool tied);
[[nodiscard]] bool is_tied(const compute::model_manifest& manifest);

struct model_roots {
  compute::model_manifest manifest;
  /// `tree_root` over `embedding_row_digest` of every token's row, scaled as it enters layer 0.
  digest embedding;
  /// Of the manifest's tensors, in their order; `rows` is 0 where a tensor has another role.
  std::vector<committed_tensor> matrices;
  /// Likewise; empty where a tensor has another role.
  std::vector<std::vector<std::byte>> vectors;

  friend bool operator==(const model_roots&, const model_roots&) = default;
};

/// Precondition: made by `decode_roots`, or of a manifest that `shape_of` passes.
[[nodiscard]] std::vector<std::byte> encode_roots(const model_roots& roots);
/// One encoding for each. Vectors are those that the manifest has the digests of. `malformed`,
/// `unsupported` (another version, blocks other than plain llama's, other products) or
/// `over_limit`.
[[nodiscard]] result<model_roots> decode_roots(std::span<const std::byte> bytes);

/// The roots of a manifest before anything is committed: shapes and types of all matrices, roots
/// and vectors empty. Errors as of `decode_roots`.
[[nodiscard]] result<model_roots> shape_of(compute::model_manifest manifest);

/// A model as its roots tell it: all that a check of a unit needs beside the receipt.
struct public_layer {
  std::vector<float> attention_norm;    ///< [dim]
  std::vector<float> feed_forward_norm; ///< [dim]
  std::array<committed_tensor, layer_matrices> matrices;
};
struct public_model {
  digest name; ///< of the manifest
  compute::model_config config;
  digest embedding;
  std::vector<float> output_norm;  ///< [dim]
  std::vector<float> rope_factors; ///< [rope_dim / 2], or none
  committed_tensor head;
  std::vector<public_layer> layers;

  [[nodiscard]] const committed_tensor& matrix(layer_index layer, unit_matrix which) const;
};
/// `malformed` or `unsupported` where the manifest's tensors are not those of the model that its
/// parameters describe.
[[nodiscard]] result<public_model> public_model_of(const model_roots& roots);

/// "blk.3.attn_q.weight" and so on.
[[nodiscard]] std::string name_of(layer_index layer, unit_matrix which, bool tied);

} // namespace ovir::proofs
