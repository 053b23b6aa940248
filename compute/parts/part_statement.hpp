#pragma once

#include "compute/parts/part_group.hpp"
#include "compute/parts/part_record.hpp"
#include "messages/digest.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What the members of a group sign about what they computed together (docs/formats/parts.md). It
/// is true or false by itself, whatever request it was of: its inputs are in it. Each member signs
/// what all of them sent, as it saw it, so that it never answers for what another one sent. The
/// segment's own statement is the leader's, and the same for groups of any size.
namespace ovir::compute {

/// Digests of what a group's members sign. Made once for a group.
class part_terms {
public:
  explicit part_terms(const part_group& group);

  /// Of `run`, by this member. Precondition: a run of this group.
  [[nodiscard]] digest said(const part_run& run, std::uint32_t member) const;
  [[nodiscard]] std::uint32_t members() const noexcept { return members_; }
  /// `part_name`; `layer` counts from the segment's first.
  [[nodiscard]] const digest& name(std::uint32_t layer, std::uint32_t member) const {
    return names_[std::size_t{layer} * members_ + member];
  }

private:
  std::uint32_t layers_;
  std::uint32_t members_;
  digest group_;              ///< profile, model, nodes and cut
  std::vector<digest> names_; ///< [layers][members]
};

/// A member's word for runs that begin at the same position: where a pass may have had guesses, up
/// to each of its positions, and what was dropped later is not needed to believe the others.
struct part_proof {
  std::vector<digest> ends; ///< `part_terms::said` of each
  signature proof;
  friend bool operator==(const part_proof&, const part_proof&) = default;
};

[[nodiscard]] part_proof sign_parts(const secret_key& key, std::vector<digest> ends);
[[nodiscard]] bool verify_parts(const node_id& by, const part_proof& what);

/// A run as all members of its group state it.
struct part_statement {
  part_group group;
  part_run run;
  std::vector<part_proof> proofs; ///< [members]
  friend bool operator==(const part_statement&, const part_statement&) = default;
};

/// Bytes that it takes, about.
[[nodiscard]] std::size_t bytes_of(const part_statement& s) noexcept;
/// One encoding for each statement.
[[nodiscard]] std::vector<std::byte> encode_statement(const part_statement& s);
/// `malformed`, also for leaves that are not those of the cut and positions beyond a window,
/// `unsupported` or `over_limit`. Signatures are not looked at.
[[nodiscard]] result<part_statement> decode_statement(std::span<const std::byte> bytes);
/// Whether every member signed it; `invalid_argument` with the one that did not.
[[nodiscard]] result<void> check_proofs(const part_statement& s);

} // namespace ovir::compute
