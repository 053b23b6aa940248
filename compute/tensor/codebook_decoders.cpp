// Encodings by codebooks. All begin with d, MXFP4 with the exponent of a power of two, then
// nibbles. IQ4_NL: 16 bytes of nibbles that number levels. IQ4_XS: two high bits of eight scales,
// their low nibbles, then eight times 16 bytes of such nibbles. The others number whole runs of
// eight (IQ2) or four (IQ3) magnitudes and have the signs apart; where only seven signs of eight
// are stored, the last makes their number even.
#include "compute/tensor/codebooks.hpp"
#include "compute/tensor/quantized_rows.hpp"

#include <bit>
#include <cstring>

namespace ovir::compute {

namespace {

constexpr std::array<std::int32_t, 16> levels{-127, -104, -83, -65, -49, -35, -22, -10,
                                              1,    13,   25,  38,  53,  69,  89,  113};

std::uint32_t byte_at(const std::byte* p, std::size_t i) {
  return std::to_integer<std::uint32_t>(p[i]);
}
std::uint32_t word_at(const std::byte* p, std::size_t i) {
  std::uint16_t value{};
  std::memcpy(&value, p + 2 * i, sizeof value);
  return value;
}
std::uint32_t dword_at(const std::byte* p, std::size_t i) {
  std::uint32_t value{};
  std::memcpy(&value, p + 4 * i, sizeof value);
  return value;
}

void decode_levels(const std::byte* nibbles, std::int32_t* w) {
  for (std::size_t i = 0; i < 16; ++i) {
    w[i] = levels[byte_at(nibbles, i) & 15U];
    w[16 + i] = levels[byte_at(nibbles, i) >> 4U];
  }
}

/// Eight signs from the seven that are stored.
std::uint32_t signs_of(std::uint32_t seven) {
  seven &= 127U;
  return seven | (static_cast<std::uint32_t>(std::popcount(seven)) & 1U) << 7U;
}

/// Eight magnitudes with their signs.
void put_eight(std::uint32_t magnitudes, std::uint32_t signs, std::int32_t* w) {
  for (std::size_t i = 0; i < 8; ++i) {
    const std::int32_t value = iq2_level(magnitudes >> 2 * i & 3U);
    w[i] = (signs >> i & 1U) != 0 ? -value : value;
  }
}

/// Four of them, by `level` and the lowest four of `signs`.
template <class Level>
void put_four(std::uint32_t magnitudes, std::uint32_t signs, Level level, std::int32_t* w) {
  for (std::size_t i = 0; i < 4; ++i) {
    const std::int32_t value = level(magnitudes >> 3 * i & 7U);
    w[i] = (signs >> i & 1U) != 0 ? -value : value;
  }
}

std::int32_t odd(std::uint32_t scale) { return static_cast<std::int32_t>(2 * scale + 1); }

/// Sixteen scales, one per 16 elements, two in a byte.
void nibble_scales(const std::byte* scales, integer_block& out) {
  out.groups = 16;
  for (std::size_t g = 0; g < 16; ++g) {
    out.scale[g] = odd(byte_at(scales, g / 2) >> g % 2 * 4 & 15U);
  }
}

} // namespace

void decode_mxfp4(const std::byte* block, integer_block& out) {
  // Twice the numbers that a sign, two bits of exponent and one of mantissa stand for.
  constexpr std::array<std::int32_t, 16> doubled{0, 1,  2,  3,  4,  6,  8,  12,
                                                 0, -1, -2, -3, -4, -6, -8, -12};
  for (std::size_t i = 0; i < 16; ++i) {
    out.w[i] = doubled[byte_at(block, 1 + i) & 15U];
    out.w[16 + i] = doubled[byte_at(block, 1 + i) >> 4U];
  }
}

void decode_iq4_nl(const std::byte* block, integer_block& out) {
  decode_levels(block + 2, out.w.data());
}

void decode_iq4_xs(const std::byte* block, integer_block& out) {
  out.groups = 8;
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint32_t low = byte_at(block, 4 + g / 2) >> g % 2 * 4 & 15U;
    const std::uint32_t high = word_at(block, 1) >> 2 * g & 3U;
    out.scale[g] = static_cast<std::int32_t>(low | high << 4U) - 32;
    decode_levels(block + 8 + 16 * g, &out.w[32 * g]);
  }
}

void decode_iq2_xxs(const std::byte* block, integer_block& out) {
  out.groups = 8;
  for (std::size_t g = 0; g < 8; ++g) {
    const std::byte* const numbers = block + 2 + 8 * g;
    const std::uint32_t signs = dword_at(numbers, 1);
    out.scale[g] = odd(signs >> 28U);
    for (std::size_t l = 0; l < 4; ++l) {
      put_eight(iq2_xxs_words[byte_at(numbers, l)], signs_of(signs >> 7 * l),
                &out.w[32 * g + 8 * l]);
    }
  }
}

void decode_iq2_xs(const std::byte* block, integer_block& out) {
  nibble_scales(block + 66, out);
  for (std::size_t l = 0; l < 32; ++l) {
    const std::uint32_t word = word_at(block + 2, l);
    put_eight(iq2_xs_words[word & 511U], signs_of(word >> 9U), &out.w[8 * l]);
  }
}

void decode_iq2_s(const std::byte* block, integer_block& out) {
  nibble_scales(block + 74, out);
  for (std::size_t l = 0; l < 32; ++l) {
    const std::uint32_t high = byte_at(block, 66 + l / 4) >> l % 4 * 2 & 3U;
    put_eight(iq2_s_words[byte_at(block, 2 + l) | high << 8U], byte_at(block, 34 + l),
              &out.w[8 * l]);
  }
}

void decode_iq3_xxs(const std::byte* block, integer_block& out) {
  out.groups = 8;
  for (std::size_t g = 0; g < 8; ++g) {
    const std::uint32_t stored = dword_at(block + 66, g);
    out.scale[g] = odd(stored >> 28U);
    for (std::size_t l = 0; l < 8; ++l) {
      const std::uint32_t signs = signs_of(stored >> l / 2 * 7);
      put_four(iq3_xxs_words[byte_at(block, 2 + 8 * g + l)], signs >> l % 2 * 4, iq3_xxs_level,
               &out.w[32 * g + 4 * l]);
    }
  }
}

void decode_iq3_s(const std::byte* block, integer_block& out) {
  out.groups = 8;
  for (std::size_t g = 0; g < 8; ++g) {
    out.scale[g] = odd(byte_at(block, 106 + g / 2) >> g % 2 * 4 & 15U);
    for (std::size_t l = 0; l < 8; ++l) {
      const std::uint32_t ninth = byte_at(block, 66 + g) >> l & 1U;
      const std::uint32_t signs = byte_at(block, 74 + 4 * g + l / 2);
      put_four(iq3_s_words[byte_at(block, 2 + 8 * g + l) | ninth << 8U], signs >> l % 2 * 4,
               iq3_s_level, &out.w[32 * g + 4 * l]);
    }
  }
}

} // namespace ovir::compute
