#pragma once

#include "compute/parts/segment_cut.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Cuts as bytes, and names of parts (docs/formats/parts.md).
namespace ovir::compute {

/// One encoding for each cut.
[[nodiscard]] std::vector<std::byte> encode_cut(const segment_cut& cut);
/// `malformed`, `unsupported` (another version) or `over_limit`. Whether a model can be cut so is
/// for `check_cut` to say.
[[nodiscard]] result<segment_cut> decode_cut(std::span<const std::byte> bytes);

/// Names what a member has of a layer of a model, by exact rows, columns and heads: the same for
/// the same part in groups of any size, and never of two parts. `model`: of the manifest.
[[nodiscard]] digest part_name(const digest& model, const segment_cut& cut, layer_index layer,
                               std::uint32_t member);

/// What of a matrix a part is of, for people: "heads 0 to 3, feed-forward 0 to 2815, output rows 0
/// to 1023".
[[nodiscard]] std::string describe(const member_part& part, const layer_cut& how);

} // namespace ovir::compute
