#pragma once

#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What nodes say to each other about weights: who has which pieces of a model, and the pieces.
/// docs/formats/fetch.md is the format. A piece is a chunk of the model's manifest, or its
/// tokenizer.
namespace ovir {

enum class fetch_kind : std::uint16_t {
  want_manifest = 1, ///< asker to source; answered by `manifest` or `refusal`
  manifest = 2,      ///< its bytes; the model's name is their digest
  holdings = 3,      ///< ranges of pieces the source has
  want_pieces = 4,   ///< asker to source; each is answered by `piece` or `refusal`
  piece = 5,         ///< its bytes
  refusal = 6,       ///< of a piece or of the whole model, and why
  want_holdings = 7, ///< asker to source; answered by `holdings` or `refusal`
};

/// In a refusal: none of the model's pieces in particular.
inline constexpr std::uint32_t no_piece = 0xffff'ffffU;

struct fetch_header {
  fetch_kind kind{fetch_kind::want_manifest};
  digest model;
  std::uint32_t piece{0};    ///< of `piece` and `refusal`, else 0
  std::uint64_t received{0}; ///< of `want_pieces`: bytes of pieces that came so far, else 0

  friend bool operator==(const fetch_header&, const fetch_header&) = default;
};

/// Pieces [first, last).
struct piece_range {
  std::uint32_t first{0};
  std::uint32_t last{0};

  friend bool operator==(const piece_range&, const piece_range&) = default;
};

/// A decoded message. `payload` points into the bytes that were decoded.
struct fetch_view {
  fetch_header header;
  std::span<const std::byte> payload;

  /// Precondition: `want_pieces`. 1 to limits::fetch_asked_max.
  [[nodiscard]] std::vector<std::uint32_t> pieces() const;
  /// Precondition: `holdings`. Ascending, none empty, a gap between any two.
  [[nodiscard]] std::vector<piece_range> ranges() const;
  /// Precondition: `refusal`. The text is printable and at most limits::error_text_bytes_max long.
  [[nodiscard]] error reason() const;
};

/// Bytes in front of what is carried. A multiple of 8.
inline constexpr std::size_t fetch_overhead_bytes = 80;

/// Why these cannot be sent together, or success. The same rules as `decode_fetch`.
[[nodiscard]] result<void> check(const fetch_header& header, std::span<const std::byte> payload);

/// Precondition: `check(header, payload)` succeeds. Allocates once.
[[nodiscard]] std::vector<std::byte> encode_fetch(const fetch_header& header,
                                                  std::span<const std::byte> payload);
[[nodiscard]] std::vector<std::byte> encode_want_pieces(const digest& model,
                                                        std::span<const std::uint32_t> pieces,
                                                        std::uint64_t received);
[[nodiscard]] std::vector<std::byte> encode_holdings(const digest& model,
                                                     std::span<const piece_range> ranges);
/// The text is made printable and cut to limits::error_text_bytes_max.
[[nodiscard]] std::vector<std::byte> encode_refusal(const digest& model, std::uint32_t piece,
                                                    const error& reason);

/// Checks everything before it trusts anything; allocates nothing. There is exactly one encoding of
/// a message, others are refused. `malformed`, `unsupported` (another version or kind) or
/// `over_limit`. Precondition: `bytes` starts at a multiple of 8.
[[nodiscard]] result<fetch_view> decode_fetch(std::span<const std::byte> bytes);

} // namespace ovir
