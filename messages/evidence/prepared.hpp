#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/limits/prepared.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Checking integer products without the weights (tier T1): what the auditor keeps, and what the
/// worker reveals. docs/formats/prepared.md and docs/formats/reveal.md are the formats.
namespace ovir {

/// The matrices of a unit, in the order of both formats.
enum class unit_matrix : std::uint8_t { q, k, v, output, gate, up, down, head };
inline constexpr std::size_t layer_matrices = 7; ///< all but the head
inline constexpr std::size_t unit_matrices = 8;

/// A matrix W of integers (in units of 2^-24) through the auditor's secret vector r over the field
/// of 2^61 - 1.
struct prepared_matrix {
  std::uint8_t form{0}; ///< of the activations: 1 scales per 32, 2 superblocks of 256
  std::uint32_t rows{0};
  std::uint32_t cols{0};
  std::vector<std::uint64_t> secret;  ///< r, [rows]
  std::vector<std::uint64_t> product; ///< r W, [cols]
  std::vector<std::uint64_t> bounds;  ///< [rows]: no honest |S| is larger

  friend bool operator==(const prepared_matrix&, const prepared_matrix&) = default;
};

struct prepared_layer {
  std::vector<float> attention_norm;    ///< [dim]
  std::vector<float> feed_forward_norm; ///< [dim]
  std::array<prepared_matrix, layer_matrices> matrices;

  friend bool operator==(const prepared_layer&, const prepared_layer&) = default;
};

/// What T1 needs of a model. Secret: whoever knows `secret` can forge what passes.
struct prepared_model {
  digest model; ///< its name: BLAKE3 of its manifest
  digest seed;  ///< of how the tokens of a check are weighed
  std::uint32_t layer_count{0};
  std::uint32_t dim{0};
  std::uint32_t feed_forward{0};
  std::uint32_t heads{0};
  std::uint32_t kv_heads{0};
  std::uint32_t head_dim{0};
  std::uint32_t rope_dim{0};
  std::uint32_t vocabulary{0};
  std::uint32_t context{0};
  float norm_epsilon{0};
  double rope_base{0};
  std::vector<float> rope_factors; ///< [rope_dim / 2], or none
  std::vector<float> output_norm;  ///< [dim]
  prepared_matrix head;
  std::vector<digest> embedding; ///< of each token's row, `embedding_row_digest`
  std::vector<prepared_layer> layers;

  friend bool operator==(const prepared_model&, const prepared_model&) = default;
};

[[nodiscard]] digest embedding_row_digest(std::span<const float> row);

/// Precondition: `check`.
[[nodiscard]] std::vector<std::byte> encode_prepared(const prepared_model& m);
/// `malformed`, `unsupported` (another version) or `over_limit`.
[[nodiscard]] result<prepared_model> decode_prepared(std::span<const std::byte> bytes);
/// Sizes, ranges, and every number of the field below its size.
[[nodiscard]] result<void> check(const prepared_model& m);

/// What lies between a unit's products and depends on earlier positions. An auditor may compute it
/// at some places only, which it draws secretly, and take the rest as revealed.
struct unit_between {
  /// fp16, after rotation, [kv heads][positions to the window's end][head_dim].
  std::vector<std::uint16_t> keys;
  std::vector<std::uint16_t> values;
  /// Attention of the window before attn_output, [positions in the window][q_dim]; empty where a
  /// unit ends with K and V.
  std::vector<float> heads;

  friend bool operator==(const unit_between&, const unit_between&) = default;
};

/// The integers of one unit before they were rounded. Rows are positions.
struct unit_reveal {
  digest transcript; ///< of the receipt it belongs to
  std::uint32_t window{0};
  layer_index layer{0};
  std::vector<float> rows; ///< of layer 0: the embeddings, [positions to the window's end][dim]
  /// Of q, output, gate, up, down: the window's positions; of k and v: all to its end; of the head:
  /// those a token was drawn from. Empty where a unit does not have them.
  std::array<std::vector<std::int64_t>, unit_matrices> sums;
  unit_between between;

  friend bool operator==(const unit_reveal&, const unit_reveal&) = default;
};
[[nodiscard]] std::vector<std::byte> encode_reveal(const unit_reveal& u);
[[nodiscard]] result<unit_reveal> decode_reveal(std::span<const std::byte> bytes);

} // namespace ovir
