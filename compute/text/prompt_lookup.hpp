#pragma once

#include "messages/ids.hpp"

#include <cstddef>
#include <span>
#include <vector>

/// Guesses of what comes next, without a model: text repeats itself.
namespace ovir::compute {

/// A match of fewer tokens is no reason to guess.
inline constexpr std::size_t lookup_match_min = 2;
/// Longer matches are not better than this one.
inline constexpr std::size_t lookup_match_max = 8;

/// Up to `count` tokens that followed where the end of `history` stood before: at the place with
/// the longest match of lookup_match_min to lookup_match_max tokens, the latest among equals, not
/// farther back than limits::draft_lookback_max. What reaches the end of `history` goes on with the
/// draft itself, so a text that repeats a few tokens yields as many as are asked for. Empty where
/// nothing matches. Time is linear in the tokens looked at.
[[nodiscard]] std::vector<token_id> lookup_draft(std::span<const token_id> history,
                                                 std::size_t count);

} // namespace ovir::compute
