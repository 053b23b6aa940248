#pragma once

#include "messages/evidence/receipt.hpp"
#include "messages/limits/capsule.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// A replay capsule: a receipt and the inputs of some of its units, so that whoever has the model
/// can compute these units again without the rest. docs/formats/capsule.md is the format.
namespace ovir {

/// Some layers over the first positions of a request: the units of these layers, and what goes in.
struct capsule_piece {
  layer_range layers;
  std::uint32_t positions{0}; ///< [0, positions): to the end of a window, or of the request
  /// The boundary before the first layer, [positions][dim]. Empty for layer 0, whose input is the
  /// receipt's tokens.
  std::vector<float> rows;
};

struct capsule {
  receipt what;
  std::uint32_t dim{0}; ///< length of a row
  std::vector<capsule_piece> pieces;
};

/// A Cap'n Proto message of one segment. Precondition: `check`.
[[nodiscard]] std::vector<std::byte> encode_capsule(const capsule& c);
/// A capsule has one encoding; others are refused. `malformed`, `unsupported` (another version) or
/// `over_limit`. Nothing is allocated by a number that no bytes back.
[[nodiscard]] result<capsule> decode_capsule(std::span<const std::byte> bytes);
/// Ranges and sizes: what may be written and read. Not whether the rows are those of the receipt.
[[nodiscard]] result<void> check(const capsule& c);
/// Whether `bytes` begin like a capsule, of whatever version.
[[nodiscard]] bool is_capsule(std::span<const std::byte> bytes) noexcept;

} // namespace ovir
