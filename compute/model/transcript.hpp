#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

/// Digests of what was computed (docs/formats/transcript.md). Nothing in here depends on where the
/// model was cut, on threads, chunks or batches.
namespace ovir::compute {

/// Name of a unit: one layer over one window of `limits::window_positions` positions.
struct unit_name {
  std::uint32_t window{0};
  layer_index layer{0};
  friend auto operator<=>(const unit_name&, const unit_name&) = default;

  template <class Inspector>
  friend typename Inspector::result_type inspect(Inspector& f, unit_name& x) {
    return f(x.window, x.layer);
  }
};

/// A finished unit: the digest of the boundary it put out, over `positions` positions.
struct unit_leaf {
  unit_name unit;
  std::uint32_t positions{0}; ///< 32, or fewer for the last window of a request
  digest boundary;
  friend bool operator==(const unit_leaf&, const unit_leaf&) = default;
};

/// The domain of boundaries' digests.
inline constexpr std::string_view boundary_domain = "ovir/transcript/v1/boundary";

/// Collects boundary rows of consecutive layers into unit leaves as they are computed, in any
/// chunking. Layers are the segment's own; the model's last layer is never given to it.
class unit_digests {
public:
  unit_digests() = default;
  explicit unit_digests(layer_range hashed_layers);

  /// Adds rows [first, first + count) of the boundary after `layer`, in ascending order of
  /// position without gaps; completed windows are appended to `done`.
  void add(layer_index layer, position first, std::uint32_t count, std::span<const float> rows,
           std::uint32_t dim, std::vector<unit_leaf>& done);

  /// Adds the window that begins where `layer` is, whose digest was computed elsewhere.
  /// Precondition: no window of it is begun.
  void add_window(layer_index layer, const digest& boundary, std::vector<unit_leaf>& done);

  /// Goes on where `window` begins, because the windows before it were stated elsewhere.
  /// Precondition: no window is begun, nor was one from `window` on.
  void skip_to(std::uint32_t window);

  /// Leaves of windows begun but not complete, in layer order.
  [[nodiscard]] std::vector<unit_leaf> open_leaves() const;

private:
  struct open_unit {
    hasher state;
    std::uint32_t window{0};
    std::uint32_t positions{0};
  };
  layer_range layers_;
  std::vector<open_unit> open_;
};

/// Digest of the raw logits of one position.
[[nodiscard]] digest logits_digest(position p, std::span<const float> logits);

/// Collects a request's leaves, in any order and with repetitions, into its transcript digest.
class transcript {
public:
  /// `digest_mismatch` when a unit known already is stated with another value.
  [[nodiscard]] result<void> add_unit(const unit_leaf& leaf);
  [[nodiscard]] result<void> add_logits(position p, const digest& d);

  /// What was stated of a unit; null: nothing.
  [[nodiscard]] const unit_leaf* unit(const unit_name& name) const;

  /// The root: over units in order of (window, layer), logits in order of position, and all token
  /// ids (prompt, then output). `internal` when a unit of a complete set is missing:
  /// `hashed_layers` layers (all but the last) over `positions` computed positions.
  [[nodiscard]] result<digest> root(std::uint32_t hashed_layers, std::uint32_t positions,
                                    std::span<const token_id> tokens) const;

  /// What was added so far, in order of (window, layer).
  [[nodiscard]] std::vector<unit_leaf> units() const;
  /// What was added so far, in order of position.
  [[nodiscard]] std::vector<std::pair<position, digest>> logits() const;

private:
  std::map<unit_name, unit_leaf> units_;
  std::map<position, digest> logits_;
};

/// Merkle root of `leaves` (docs/formats/transcript.md, "tree"): RFC 6962's shape with BLAKE3.
[[nodiscard]] digest merkle_root(std::span<const digest> leaves);

/// Name of the profile, part of every key, transcript and receipt. What follows the stroke is the
/// beginning of the digest of its test vectors (`profile_digest`, and a test compares them): a
/// definition that gives other bits has another name, and nothing of the two is mixed.
inline constexpr std::string_view profile_name = "exact-1/7c004b2d";

} // namespace ovir::compute
