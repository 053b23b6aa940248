#pragma once

#include <array>
#include <cstdint>

/// The codebooks of GGUF's IQ2 and IQ3 encodings, as the format fixes them. A word holds the levels
/// of eight magnitudes, two bits each (IQ2), or of four, three bits each (IQ3), the first lowest.
namespace ovir::compute {

extern const std::array<std::uint16_t, 256> iq2_xxs_words;
extern const std::array<std::uint16_t, 512> iq2_xs_words;
extern const std::array<std::uint16_t, 1024> iq2_s_words;
extern const std::array<std::uint16_t, 256> iq3_xxs_words;
extern const std::array<std::uint16_t, 512> iq3_s_words;

/// Magnitudes of the levels: 8, 25, 43; 4, 12, ... 52, 62; 1, 3, ... 15.
[[nodiscard]] constexpr std::int32_t iq2_level(std::uint32_t level) noexcept {
  return std::array{8, 25, 43, 0}[level]; // no word has level 3
}
[[nodiscard]] constexpr std::int32_t iq3_xxs_level(std::uint32_t level) noexcept {
  return std::array{4, 12, 20, 28, 36, 44, 52, 62}[level];
}
[[nodiscard]] constexpr std::int32_t iq3_s_level(std::uint32_t level) noexcept {
  return static_cast<std::int32_t>(2 * level + 1);
}

} // namespace ovir::compute
