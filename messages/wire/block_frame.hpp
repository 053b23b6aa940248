#pragma once

#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// What nodes say to each other about blocks of K and V they keep: which they may have, and the
/// blocks. docs/formats/blocks.md is the format. A block is asked for by its name in the store,
/// which for private ones is salted: who does not know the owner's salt can neither ask for one nor
/// tell from claims whether it is there.
namespace ovir {

enum class block_kind : std::uint16_t {
  claims = 1,  ///< a filter over the names of the blocks the sender has (`name_filter`)
  want = 2,    ///< names; each is answered by `block` or `missing`
  block = 3,   ///< its bytes
  missing = 4, ///< it is not there, whatever the claims said
};

struct block_header {
  block_kind kind{block_kind::claims};
  /// Of `claims`: names in the filter. Of `block` and `missing`: which of those wanted, from 0.
  std::uint32_t number{0};
  std::uint64_t ticket{0}; ///< of all but `claims`: the asker's name of its question

  friend bool operator==(const block_header&, const block_header&) = default;
};

/// A decoded message. `payload` points into the bytes that were decoded.
struct block_view {
  block_header header;
  std::span<const std::byte> payload;

  /// Precondition: `want`. 1 to limits::blocks_asked_max.
  [[nodiscard]] std::vector<digest> names() const;
};

/// Bytes in front of what is carried. A multiple of 8.
inline constexpr std::size_t block_overhead_bytes = 48;

/// Why these cannot be sent together, or success. The same rules as `decode_block`.
[[nodiscard]] result<void> check(const block_header& header, std::span<const std::byte> payload);

/// Precondition: `check(header, payload)` succeeds. Allocates once.
[[nodiscard]] std::vector<std::byte> encode_block(const block_header& header,
                                                  std::span<const std::byte> payload);
[[nodiscard]] std::vector<std::byte> encode_want_blocks(std::uint64_t ticket,
                                                        std::span<const digest> names);

/// Checks everything before it trusts anything; allocates nothing. There is exactly one encoding of
/// a message, others are refused. `malformed`, `unsupported` (another version or kind) or
/// `over_limit`. Whether a block is one is not looked at here. Precondition: `bytes` starts at a
/// multiple of 8.
[[nodiscard]] result<block_view> decode_block(std::span<const std::byte> bytes);

} // namespace ovir
