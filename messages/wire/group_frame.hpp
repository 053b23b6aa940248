#pragma once

#include "messages/ids.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Messages between the members of a group that holds one segment (compute/parts): what crosses
/// between two steps of a layer, and the leader's orders. docs/formats/parts.md is the format.
namespace ovir {

enum class group_kind : std::uint16_t {
  // What every member sends to every other within a pass; numbers of `compute::crossing_kind`.
  queries_keys = 1,
  maxima = 2,
  floats = 3,
  quantised = 4,
  sums = 5,
  rows = 6,
  logits = 7, ///< to the leader alone
  // The leader's orders, and answers.
  begin = 8,   ///< a pass: its sessions, and the residual stream before the segment
  head = 9,    ///< of the pass before: rows of the stream whose logits are wanted
  form = 10,   ///< a group of these members, with this cut
  formed = 11, ///< a member's answer: nothing, or why not
  part = 12,   ///< the group is no more
  // K and V, of which each member has its heads, and the leader all.
  history = 13, ///< to a member: K and V of its heads, of a session it does not know
  written = 14, ///< to the leader: K and V of the rows of a pass, behind it
  close = 15,   ///< to a member: sessions that are over
  proofs = 16,  ///< to the leader: signatures under what was computed in a pass, behind it
};

[[nodiscard]] constexpr bool crosses(group_kind kind) noexcept {
  return kind >= group_kind::queries_keys && kind <= group_kind::rows;
}

/// Valid ranges are those that `decode_group` enforces; what is not of a kind is 0.
struct group_header {
  group_kind kind{group_kind::maxima};
  std::uint16_t member{0};
  std::uint16_t rows{0};
  layer_index layer{0};
  std::uint32_t step{0};
  std::uint32_t width{0};
  std::uint32_t block{0};
  std::uint64_t group{0};
  std::uint64_t pass{0};

  friend bool operator==(const group_header&, const group_header&) = default;
};

/// A session of a pass: its rows are positions [first, first + count) of a request.
struct group_session {
  std::uint64_t number{0}; ///< the leader's, of this group
  std::uint32_t first{0};
  std::uint32_t count{0};
  std::uint32_t capacity{0}; ///< positions that it may come to
  std::uint32_t failed{0};   ///< 1: its rows are there, and compute nothing
  friend bool operator==(const group_session&, const group_session&) = default;
};

/// A decoded message. `payload` points into the bytes that were decoded.
struct group_view {
  group_header header;
  std::span<const std::byte> payload;

  /// Precondition: `begin`, or `history`: then one. As many rows as the header says.
  [[nodiscard]] std::vector<group_session> sessions() const;
  /// Precondition: `begin`. [rows][width].
  [[nodiscard]] std::span<const float> stream() const;
  /// Precondition: `head`. Each below limits::prefill_chunk_max.
  [[nodiscard]] std::vector<std::uint32_t> wanted() const;
  /// Precondition: `close`. Numbers of sessions.
  [[nodiscard]] std::vector<std::uint64_t> closed() const;
  /// Precondition: `history` or `written`. [rows][width].
  [[nodiscard]] std::span<const std::uint16_t> halves() const;
  /// Precondition: `proofs`. [rows].
  [[nodiscard]] std::vector<signature> proofs() const;
};

/// Bytes in front of what is carried. A multiple of 8.
inline constexpr std::size_t group_overhead_bytes = 72;

/// Why these cannot be sent together, or success. The same rules as `decode_group`.
[[nodiscard]] result<void> check(const group_header& header, std::span<const std::byte> payload);

/// Precondition: `check(header, payload)` succeeds. Allocates once.
[[nodiscard]] std::vector<std::byte> encode_group(const group_header& header,
                                                  std::span<const std::byte> payload);
/// The payload of `begin`.
[[nodiscard]] std::vector<std::byte> begin_payload(std::span<const group_session> sessions,
                                                   std::span<const float> stream);
/// The payload of `history`.
[[nodiscard]] std::vector<std::byte> history_payload(const group_session& session,
                                                     std::span<const std::uint16_t> halves);

/// Checks everything before it trusts anything; allocates nothing. There is exactly one encoding of
/// a message, others are refused. `malformed`, `unsupported` (another version or kind) or
/// `over_limit`. Whether a crossing is one is not looked at here. Precondition: `bytes` starts at a
/// multiple of 8.
[[nodiscard]] result<group_view> decode_group(std::span<const std::byte> bytes);

} // namespace ovir
