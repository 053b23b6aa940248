#pragma once

#include "compute/kernels/kernels.hpp"
#include "compute/model/model_config.hpp"
#include "compute/parts/crossing.hpp"
#include "compute/parts/segment_cut.hpp"
#include "messages/digest.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

/// What a member of a group made of one row, as digests (docs/formats/parts.md). A row has the same
/// ones whatever other rows were in its pass, so those who compute it again find the same.
namespace ovir::compute {

/// What a member makes of a row in one layer, in the order in which one thing needs those before.
enum class part_lane : std::uint8_t {
  kv = 0, ///< K and V of its heads, which the leader alone is sent
  queries_keys = 1,
  attention_maxima = 2,
  attention_floats = 3,
  attention_quantised = 4,
  attention_output = 5, ///< rows of the output, or partial sums of it
  inner_maxima = 6,
  inner_floats = 7,
  inner_quantised = 8,
  inner_output = 9,
  logits = 10, ///< of no layer: what is signed of them is a head_statement
};
inline constexpr std::uint32_t part_lanes = 10;

/// Precondition: what crosses within a layer, so no logits.
[[nodiscard]] part_lane lane_of(const crossing_place& place);
/// For people: "the attention's output".
[[nodiscard]] std::string_view words_for(part_lane lane) noexcept;

/// `prev` is all zero before the first row.
[[nodiscard]] digest chained(const digest& prev, const digest& row);
[[nodiscard]] digest row_digest(std::span<const std::byte> bytes);

/// Calls `each` for every member and, of one member, every row in order, with the digest of what
/// that member sent of it. `all`: what `segment_part::take` accepted at a place in a pass of `rows`
/// rows; `form`: of the block's activations.
void digest_rows(
    const model_config& config, const segment_cut& cut, const crossing_place& place,
    activation_form form, std::uint32_t rows, std::span<const std::span<const std::byte>> all,
    const std::function<void(std::uint32_t row, std::uint32_t member, const digest&)>& each);

} // namespace ovir::compute
