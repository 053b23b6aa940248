#pragma once

#include "messages/limits/general.hpp"

#include <cstddef>
#include <cstdint>

/// Bounds of speculation.
namespace ovir::limits {

/// Tokens guessed beyond the one that is known, in one frame. Eight rows are what the kernels
/// multiply in one go.
inline constexpr std::uint32_t draft_tokens_max = 7;
/// How far back in prompt and output a draft is looked for.
inline constexpr std::size_t draft_lookback_max = 65'536;

// A draft model: requests it guesses for at once, keys and values of one of them, positions of a
// prompt in one pass.
inline constexpr std::uint32_t draft_runs_max = 64;
inline constexpr std::size_t draft_kv_bytes_max = std::size_t{1} << 30U;
inline constexpr std::uint32_t draft_chunk = 64;

// Whatever the vocabulary, the logits that answer a draft fit into a frame.
static_assert(std::uint64_t{draft_tokens_max + 1} * vocabulary_max * sizeof(float) + 1024 <=
              frame_bytes_max);

} // namespace ovir::limits
