#pragma once

#include "compute/parts/part_group.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What the members of a group that ends the model sign about logits (docs/formats/parts.md). Like
/// a statement about parts it is true or false by itself: the row that the logits are of is in it.
namespace ovir::compute {

/// Digests of what a group's members sign about logits. Made once for a group.
class head_terms {
public:
  explicit head_terms(const part_group& group);

  /// `row`: `row_digest` of the last layer's output, f32[dim]; `logits`: of the member's, f32[its
  /// rows of the head].
  [[nodiscard]] digest said(const digest& row, const digest& logits, std::uint32_t member) const;

private:
  digest group_;                  ///< profile, model, nodes and cut
  std::vector<part_range> words_; ///< [members]
};

[[nodiscard]] signature sign_head(const secret_key& key, const digest& said);
[[nodiscard]] bool verify_head(const node_id& by, const digest& said, const signature& proof);

/// The logits of one row, as the members that have rows of the head state them.
struct head_statement {
  part_group group;
  digest row;
  std::vector<digest> logits;    ///< [members]
  std::vector<signature> proofs; ///< [members], each of its own logits
  friend bool operator==(const head_statement&, const head_statement&) = default;
};

[[nodiscard]] std::size_t bytes_of(const head_statement& s) noexcept;
/// One encoding for each statement.
[[nodiscard]] std::vector<std::byte> encode_head(const head_statement& s);
/// `malformed`, `unsupported` or `over_limit`. Signatures are not looked at.
[[nodiscard]] result<head_statement> decode_head(std::span<const std::byte> bytes);
/// Whether these bytes are such a statement, if they are any.
[[nodiscard]] bool is_head(std::span<const std::byte> bytes) noexcept;
/// Whether every member signed it; `invalid_argument` with the one that did not.
[[nodiscard]] result<void> check_proofs(const head_statement& s);

} // namespace ovir::compute
