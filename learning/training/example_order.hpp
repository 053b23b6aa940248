#pragma once

#include <cstdint>
#include <vector>

namespace ovir::learning {

/// The places 0 to `count` - 1 in an order drawn from `seed` and `round` (docs/formats/learn-1.md).
[[nodiscard]] std::vector<std::uint32_t> drawn_order(std::uint64_t seed, std::uint64_t round,
                                                     std::uint32_t count);

/// The round of the order by which examples are held back for evaluation. Epochs count from 0.
inline constexpr std::uint64_t held_back_round = ~std::uint64_t{0};

} // namespace ovir::learning
