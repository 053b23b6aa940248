#pragma once

#include <cstddef>
#include <cstdint>

/// Bounds of what a request may want to know about the probabilities of its tokens.
namespace ovir::limits {

/// Likeliest tokens told with each token drawn.
inline constexpr std::uint32_t logprobs_top_max = 20;
/// Of one HTTP request: tokens that its answers may have together, times one more than the
/// likeliest tokens told with each.
inline constexpr std::uint64_t logprobs_entries_max = std::uint64_t{1} << 17U;
/// The same, of requests that are over and kept for clients that come back: the oldest are
/// forgotten.
inline constexpr std::uint64_t logprobs_kept_max = std::uint64_t{1} << 22U;

} // namespace ovir::limits
