#pragma once

#include "learning/adapter/adapter.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// Updates as integers: a unit is 2^-quantum_bits. Numbers follow each other by layer, place, A, B.
namespace ovir::learning {

/// The difference of two adapters of the same shape, number by number, in binary32.
[[nodiscard]] std::vector<float> difference_of(const lora_numbers& after,
                                               const lora_numbers& before);

/// `update` in units, rounded towards 0, scaled so that the sum of squares is clip_units^2 at most.
/// That is checked in integers: no rounding makes the norm larger. `nonfinite` for a NaN or an
/// infinity.
[[nodiscard]] result<std::vector<std::int64_t>>
clipped_units(std::span<const float> update, std::uint8_t quantum_bits, std::uint32_t clip_units);

/// Whether the sum of squares is clip_units^2 at most, exactly.
[[nodiscard]] bool within_norm(std::span<const std::int64_t> units, std::uint32_t clip_units);

/// Integers modulo 2^64 and back.
[[nodiscard]] std::vector<std::uint64_t> wrapped(std::span<const std::int64_t> units);
/// `malformed` where a number is beyond `workers` times limits::round_value_max: no sum of theirs.
[[nodiscard]] result<std::vector<std::int64_t>> unwrapped(std::span<const std::uint64_t> sum,
                                                          std::uint32_t workers);

/// Adds sum / workers to each number: binary64, rounded once to binary32. `nonfinite` where a
/// number leaves binary32, `malformed` where there are more or fewer numbers.
[[nodiscard]] result<void> add_mean(lora_numbers& to, std::span<const std::int64_t> sum,
                                    std::uint32_t workers, std::uint8_t quantum_bits);

/// H(`ovir/rounds-1/sum`; each number as u64).
[[nodiscard]] digest name_of_sum(std::span<const std::int64_t> sum);

} // namespace ovir::learning
