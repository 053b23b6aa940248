#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Tensor frames: what travels between a lead and its stages, and from stage to stage, in one
/// process and between machines alike. docs/formats/frame.md is the format.
namespace ovir {

enum class frame_kind : std::uint16_t {
  tokens = 1,   ///< lead to first stage: token ids, width 1
  boundary = 2, ///< stage to next stage: rows of the residual stream, width = dim
  logits = 3,   ///< last stage to lead: rows of logits, width = vocabulary
  /// As `tokens` and `boundary`, but all of the last `logit_rows` rows beyond the first are drafts:
  /// guesses of tokens that are not drawn yet. The next frame begins behind those that were right.
  drafted_tokens = 4,
  drafted_boundary = 5,
  choice =
      6, ///< last stage to lead, for requests that take the highest logit: rows of `token_choice`
  /// No tensor: one row of the bytes of `encode_evidence` (messages/evidence/evidence.hpp), stage
  /// to next stage or to the lead, lead to first stage.
  evidence = 7,
  hidden = 8, ///< last stage to lead: rows of the hidden state behind the final norm, width = dim
};

/// What `choice` says of a position's logits, as it lies in a frame.
struct token_choice {
  token_id token{0}; ///< the first of the highest logit
  digest logits;     ///< `compute::logits_digest` of all of them
};
/// Elements of four bytes in a `token_choice`.
inline constexpr std::uint32_t choice_width = 9;

[[nodiscard]] constexpr bool holds_tokens(frame_kind kind) noexcept {
  return kind == frame_kind::tokens || kind == frame_kind::drafted_tokens;
}
/// What a last stage answers.
[[nodiscard]] constexpr bool is_answer(frame_kind kind) noexcept {
  return kind == frame_kind::logits || kind == frame_kind::choice || kind == frame_kind::hidden;
}
[[nodiscard]] constexpr bool holds_drafts(frame_kind kind) noexcept {
  return kind == frame_kind::drafted_tokens || kind == frame_kind::drafted_boundary;
}

/// Rows [first, first + count) of one request. Valid ranges are those `decode_frame` enforces.
struct frame_header {
  frame_kind kind{frame_kind::tokens};
  request_id request;
  ovir::epoch epoch;
  position first{0};
  std::uint32_t count{0};
  std::uint32_t width{0}; ///< elements of four bytes per row
  /// Of the last rows, logits are wanted; all of them for answers.
  std::uint32_t logit_rows{0};
  /// Passes of a stage that may come before this step's: at most limits::slack_batch. Only of what
  /// a stage computes.
  std::uint16_t slack{0};

  /// Rows at the end that are guesses.
  [[nodiscard]] constexpr std::uint32_t drafts() const noexcept {
    return holds_drafts(kind) ? logit_rows - 1 : 0;
  }

  friend bool operator==(const frame_header&, const frame_header&) = default;
};

/// A decoded frame. `tensor` points into the bytes that were decoded.
struct frame_view {
  frame_header header;
  std::span<const std::byte> tensor; ///< count * width * 4 bytes, little-endian

  /// Precondition: `holds_tokens(kind)`.
  [[nodiscard]] std::span<const token_id> tokens() const;
  /// Precondition: neither `holds_tokens(kind)` nor `choice`. [count][width].
  [[nodiscard]] std::span<const float> floats() const;
  /// Precondition: `choice`. Tokens may be any number: whoever uses them checks.
  [[nodiscard]] std::span<const token_choice> choices() const;
};

/// Bytes in front of the tensor: magic, lengths and the Cap'n Proto header. A multiple of 8, so the
/// tensor is aligned when the frame is.
inline constexpr std::size_t frame_overhead_bytes = 64;

/// Why `header` cannot be sent, or success. The same rules as `decode_frame`.
[[nodiscard]] result<void> check(const frame_header& header);

/// Precondition: `check(header)` succeeds and `tensor` has count * width * 4 bytes. Allocates once.
[[nodiscard]] std::vector<std::byte> encode_frame(const frame_header& header,
                                                  std::span<const std::byte> tensor);

/// Checks everything before it trusts anything; allocates nothing. There is exactly one encoding of
/// a frame, others are refused. Errors: `malformed`, `unsupported` (another version or kind),
/// `over_limit`. Precondition: `bytes` starts at a multiple of 8.
[[nodiscard]] result<frame_view> decode_frame(std::span<const std::byte> bytes);

} // namespace ovir
