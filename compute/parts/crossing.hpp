#pragma once

#include "compute/base/exact_math.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/parts/segment_cut.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What members of a group send each other between the steps of a layer, as bytes
/// (docs/formats/parts.md). Every value has one encoding; sizes follow from the pass, so that
/// nothing is reserved for what a peer claims.
namespace ovir::compute {

enum class crossing_kind : std::uint8_t {
  queries_keys = 1, ///< rows of queries, then of keys, before norms over all heads
  maxima = 2,       ///< of each row the largest magnitude of the member's activations
  floats = 3,       ///< the member's activations
  quantised = 4,    ///< the same as integers with their scales
  sums = 5,         ///< partial sums of the whole output
  rows = 6,         ///< the member's rows of the output
  logits = 7,       ///< its rows of the head's output
};

enum class layer_block : std::uint8_t { attention = 1, feed_forward = 2 };

/// Between which steps of a pass something crosses.
struct crossing_place {
  layer_index layer{0};
  layer_block block{layer_block::attention};
  crossing_kind kind{crossing_kind::maxima};
  friend bool operator==(const crossing_place&, const crossing_place&) = default;
};

/// Elements of a row that a member sends at a place. Precondition: a cut of a model of this
/// configuration.
[[nodiscard]] std::uint32_t crossing_width(const model_config& config, const segment_cut& cut,
                                           std::uint32_t member,
                                           const crossing_place& place) noexcept;

/// What a member found in a row of its own: a session fails by what any member found.
enum class row_state : std::uint8_t {
  good = 0,
  bad_key_or_value = 1, ///< only of attention
  bad_activation = 2,
};

/// The worse of two: a key comes before what is computed from it.
[[nodiscard]] constexpr row_state worse(row_state a, row_state b) noexcept {
  return a == row_state::good || (b != row_state::good && b < a) ? b : a;
}

/// States of a pass's rows and their largest magnitudes, joined over the members so far.
struct joined_rows {
  std::vector<row_state> states; ///< [rows]
  std::vector<float> most;       ///< [rows], of maxima

  /// Nothing was found yet.
  void clear(std::size_t rows);
};

// Of each kind how it is written, and how one member's bytes are joined to what others sent.
// Writing needs sizes that fit. Reading is `malformed` for bytes that are no such value, and names
// no member: the caller knows whose they are.

[[nodiscard]] std::vector<std::byte> encode_maxima(std::span<const float> most,
                                                   std::span<const row_state> states);
[[nodiscard]] result<void> join_maxima(std::span<const std::byte> bytes, layer_block block,
                                       joined_rows& joined);

/// `rows` rows of `width` elements that stand `stride` apart from `values` on.
void append_floats(const float* values, std::size_t rows, std::size_t width, std::size_t stride,
                   std::vector<std::byte>& out);
/// To `to`, where rows stand `stride` apart. Of exactly these bytes.
[[nodiscard]] result<void> read_floats(std::span<const std::byte> bytes, std::size_t rows,
                                       std::size_t width, std::size_t stride, float* to);

void append_states(std::span<const row_state> states, std::vector<std::byte>& out);
[[nodiscard]] result<void> join_states(std::span<const std::byte> bytes, layer_block block,
                                       std::span<row_state> joined);

/// The first `width` elements of each row of `from`, whole blocks of its scales.
[[nodiscard]] std::vector<std::byte> encode_quantised(const quantized_batch& from,
                                                      std::uint32_t width);
/// To `columns` of the rows of `to`, but for u. Sums are computed.
[[nodiscard]] result<void> read_quantised(std::span<const std::byte> bytes,
                                          const part_range& columns, quantized_batch& to);

[[nodiscard]] std::vector<std::byte> encode_sums(std::span<const std::int64_t> sums);
/// Rounded once, as the profile rounds the sum of the whole: also one beyond 64 bits, of a matrix
/// that is `wide` though none of its parts is.
[[nodiscard]] float rounded_total(int128 total) noexcept;
/// Adds them to `totals`, of as many.
[[nodiscard]] result<void> add_sums(std::span<const std::byte> bytes, std::span<int128> totals);

} // namespace ovir::compute
