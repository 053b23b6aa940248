#pragma once

#include "messages/request/params.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ovir {

/// The numbers in the order of their rows and the seed behind them, a word each: the bits of
/// floats, zeros above 32 bits. Messages carry them so, and need no change for a new parameter.
[[nodiscard]] std::vector<std::uint64_t> words_of_numbers(const sampling_params& params);

/// Inverse. `malformed` where there are not as many words as numbers; bits that a number has no
/// place for are dropped, and `check` is the caller's.
[[nodiscard]] result<void> read_numbers(std::span<const std::uint64_t> words,
                                        sampling_params& params);

} // namespace ovir
