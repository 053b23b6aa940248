#pragma once

#include "actors/protocol/protocol.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Answers as bytes that outlive the request (docs/formats/answer.md).
namespace ovir::actors {

/// What every answer to a request depends on: model, prompt, sampling; neither how long it may
/// become nor where it is cut. `model` is the digest of the model's manifest.
[[nodiscard]] digest request_digest(const digest& model, std::span<const token_id> prompt,
                                    const sampling_params& sampling);
/// Key of the answer to a request that ended, with the limits it ended by.
[[nodiscard]] digest finished_key(const digest& request, std::uint32_t max_tokens,
                                  std::span<const std::string> stop);
/// Key of the `window`th `limits::window_positions` draws, whatever the request's limits.
[[nodiscard]] digest draws_key(const digest& request, std::uint32_t window);

/// A finished answer, whole, or a window of draws of one: then without an end, leaves and root.
struct answer_record {
  digest key; ///< what it is stored under, unsalted
  std::vector<drawn_token> drawn;
  bool finished{false};
  finish_reason end{finish_reason::length}; ///< of a finished one: stop or length
  std::uint32_t positions{0};               ///< computed
  std::uint32_t hashed_layers{0};           ///< of the model: all but the last
  std::vector<digest> leaves;       ///< of each unit's boundary, in order of (window, layer)
  digest transcript;                ///< the root
  std::vector<std::byte> receipt{}; ///< of a finished one that was signed for, else empty
  friend bool operator==(const answer_record&, const answer_record&) = default;
};

/// Deterministic: equal records are equal bytes.
[[nodiscard]] std::vector<std::byte> to_bytes(const answer_record& record);
/// Accepts exactly what `to_bytes` writes. `malformed`, `unsupported` (another version),
/// `over_limit` or `digest_mismatch`; allocates nothing that is not backed by bytes.
[[nodiscard]] result<answer_record> answer_from(std::span<const std::byte> bytes);

/// Leaves as a transcript takes them: `leaves` of a finished answer with their units.
[[nodiscard]] std::vector<compute::unit_leaf> leaves_of(const answer_record& record);

/// Whether a finished answer is one of this request: its root is that of its leaves, draws and
/// tokens, and it does not go beyond the request. `vocabulary`: ids below it exist.
[[nodiscard]] bool agrees(const answer_record& record, std::span<const token_id> prompt,
                          std::uint32_t max_tokens, std::uint32_t vocabulary);

} // namespace ovir::actors
