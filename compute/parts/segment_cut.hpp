#pragma once

#include "compute/model/model.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/parts.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// How the layers of a segment are cut among the members of a group. A cut changes no bit: products
/// with quantised weights are integers that are rounded once, however their columns are added, and
/// sums of floats are never cut (docs/adr/0046-parts.md).
namespace ovir::compute {

/// [first, last) of rows, columns or heads.
struct part_range {
  std::uint32_t first{0};
  std::uint32_t last{0};

  [[nodiscard]] constexpr std::uint32_t size() const noexcept { return last - first; }
  [[nodiscard]] constexpr bool empty() const noexcept { return first == last; }
  friend bool operator==(const part_range&, const part_range&) = default;
};

/// How a block's second matrix (attn_output, ffn_down) is cut, whose input is cut already.
enum class output_cut : std::uint8_t {
  rows = 1,    ///< members send their activations, then their rows of the output
  columns = 2, ///< members multiply their own activations, and send sums of integers
};

/// A pass of this many rows and fewer is any pass.
inline constexpr std::uint32_t always = limits::prefill_chunk_max;

struct block_cut {
  output_cut output{output_cut::rows};
  /// Of rows: passes of at most so many rows send activations as floats. Others send them
  /// quantised, a quarter of the bytes, after one more exchange of largest magnitudes.
  std::uint32_t floats_up_to{always};
  friend bool operator==(const block_cut&, const block_cut&) = default;
};

struct layer_cut {
  block_cut attention;
  block_cut feed_forward;
  friend bool operator==(const layer_cut&, const layer_cut&) = default;
};

/// What a member has of every layer of the segment. Any of it may be empty.
struct member_part {
  part_range kv_heads; ///< with the query heads that read them: rows of attn_q, attn_k and attn_v
  part_range inner;    ///< rows of ffn_gate and ffn_up, or of those of every expert
  part_range rows;     ///< of attn_output and ffn_down, where these are cut by rows
  part_range words;    ///< rows of the head, in the model's last segment; else empty
  friend bool operator==(const member_part&, const member_part&) = default;
};

struct segment_cut {
  layer_range layers;
  std::vector<layer_cut> blocks; ///< [layers.size()]
  std::vector<member_part> members;

  [[nodiscard]] const layer_cut& of(layer_index layer) const {
    return blocks[layer - layers.first];
  }
  friend bool operator==(const segment_cut&, const segment_cut&) = default;
};

/// What is wanted of `cut_segment`, as far as it is possible.
struct cut_wish {
  output_cut attention{output_cut::rows};
  output_cut feed_forward{output_cut::rows};
  std::uint32_t floats_up_to{limits::group_float_rows};
};

/// Rows of activations between the matrices of a feed-forward block for each row of a pass: one, or
/// one for each expert that a row goes to.
[[nodiscard]] constexpr std::uint32_t inner_rows(const model_config& config) noexcept {
  return config.experts == 0 ? 1 : config.experts_used;
}

/// `unsupported`, or `over_limit`, where a segment of this model cannot be cut.
[[nodiscard]] result<void> check_for_parts(const model& m, layer_range layers);

/// A cut in proportion to `shares`, in whole K/V heads, blocks of the quantisation and panels of
/// rows. Where a matrix allows no cut as wanted (floats, heads that are no whole blocks) that layer
/// takes rows, with activations as floats. `invalid_argument` for shares that make no group.
[[nodiscard]] result<segment_cut> cut_segment(const model& m, layer_range layers,
                                              std::span<const std::uint32_t> shares,
                                              const cut_wish& wish = {});

/// Whether members' parts tile every matrix, and every cut is one that keeps the bits: columns of
/// quantised matrices only, at bounds of their blocks. `malformed`, `unsupported`, `over_limit`.
[[nodiscard]] result<void> check_cut(const model& m, const segment_cut& cut);

/// What a member has of one weight of a layer.
struct weight_part {
  std::string_view name; ///< as `layer_part::name`
  weight layer_weights::*member;
  part_range rows;
  part_range columns;
};

/// Of all weights that the layer has. Precondition: `check_cut`, and the member is one of it.
[[nodiscard]] std::vector<weight_part> weight_parts(const model& m, const segment_cut& cut,
                                                    layer_index layer, std::uint32_t member);

/// Rows of an expert's matrices that a member has: of gate and up, and of down.
[[nodiscard]] part_range expert_rows_of(const member_part& part, const expert_part& which) noexcept;

/// Elements of the activations that attn_output and ffn_down multiply which a member computes.
[[nodiscard]] part_range attention_columns(const model_config& config, const member_part& part);

/// Whether queries and keys are normed over all heads together: then they cross before.
[[nodiscard]] bool norms_whole_rows(const model_config& config,
                                    const layer_weights& layer) noexcept;

} // namespace ovir::compute
