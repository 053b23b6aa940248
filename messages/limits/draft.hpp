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

// Whatever the vocabulary, the logits that answer a draft fit into a frame.
static_assert(std::uint64_t{draft_tokens_max + 1} * vocabulary_max * sizeof(float) + 1024 <=
              frame_bytes_max);

} // namespace ovir::limits
