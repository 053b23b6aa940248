#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ovir::units {

/// A model file of 8 layers: family, lengths and the type of every matrix are drawn by `seed`, of
/// all families and types that this build computes. Its weights are random and about as large as a
/// trained model's, so that no number overflows. Same seed, same bytes.
[[nodiscard]] std::vector<std::byte> random_model(std::uint64_t seed);

} // namespace ovir::units
