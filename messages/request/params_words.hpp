#pragma once

#include "messages/request/params.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ovir {

/// The further numbers in the order of their rows, a word each as below, and a word for each bias:
/// the token in its low half, the float's bits in its high half. Nothing where none is set.
[[nodiscard]] std::vector<std::uint64_t> words_of_further(const sampling_params& params);

/// Inverse. `malformed` where there are fewer words than numbers, or none of them is set;
/// `over_limit` with too many biases. `check` is the caller's.
[[nodiscard]] result<void> read_further(std::span<const std::uint64_t> words,
                                        sampling_params& params);

/// The common numbers in the order of their rows and the seed behind them, a word each: the bits of
/// floats, zeros above 32 bits; then `words_of_further`. Messages carry them so, and need no change
/// for a new parameter.
[[nodiscard]] std::vector<std::uint64_t> words_of_numbers(const sampling_params& params);

/// Inverse. `malformed` where there are fewer words than numbers, and as of `read_further`; bits
/// that a number has no place for are dropped, and `check` is the caller's.
[[nodiscard]] result<void> read_numbers(std::span<const std::uint64_t> words,
                                        sampling_params& params);

} // namespace ovir
