#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// A proof of units of a receipt as a file. docs/formats/unit-proof.md is the format.
namespace ovir::proofs {

/// Where a reader has the rows from that go into a piece.
enum class row_source : std::uint32_t {
  revealed,   ///< in the file; the receipt states their digests
  computed,   ///< what the piece before put out
  embeddings, ///< in the file, each with its path to the root of embeddings
};

/// One layer over windows [first, last).
struct proven_piece {
  layer_index layer{0};
  std::uint32_t first{0};
  std::uint32_t last{0};
  std::uint32_t positions{0}; ///< up to the end of the last window, from position 0
  row_source source{row_source::revealed};
  // As the receipt states them:
  std::vector<digest> inputs;  ///< of windows [0, last) before the layer; none before layer 0
  std::vector<digest> outputs; ///< of windows [first, last): boundary, or K and V of the last layer
  std::vector<digest> kv;      ///< of windows [first, last)
  /// [positions][dim], where the source is in the file.
  std::vector<float> rows;
  /// [positions], of embeddings.
  std::vector<std::vector<digest>> paths;

  friend bool operator==(const proven_piece&, const proven_piece&) = default;
};

struct unit_proof {
  digest receipt; ///< plain BLAKE3 of its bytes
  digest roots;   ///< plain BLAKE3 of the roots' bytes
  std::uint32_t dim{0};
  std::vector<proven_piece> pieces;
  std::vector<std::byte> statement; ///< proof.md, of the context `context_of`
  std::vector<std::byte> proof;     ///< proof.md

  friend bool operator==(const unit_proof&, const unit_proof&) = default;
};

/// What the products are bound to: receipt, roots, units, and the digests that go in and come out.
[[nodiscard]] digest context_of(const unit_proof& proof);

/// Precondition: sizes of the pieces fit each other.
[[nodiscard]] std::vector<std::byte> encode_unit_proof(const unit_proof& proof);
/// One encoding for each, but for what statement and proof hold, which have decoders of their own.
/// `malformed`, `unsupported` (another version) or `over_limit`. Nothing is allocated by a number
/// that no bytes back.
[[nodiscard]] result<unit_proof> decode_unit_proof(std::span<const std::byte> bytes);

} // namespace ovir::proofs
