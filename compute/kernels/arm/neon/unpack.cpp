// Packed weights to bytes: the file's bits of sixteen rows (formats/packed_superblocks.hpp) become
// the panel that all products read.
#if defined(__aarch64__)

#include "compute/kernels/arm/intrinsics.hpp"
#include "compute/kernels/arm/kernels.hpp"
#include "compute/tensor/layouts.hpp"

namespace ovir::compute::neon {

namespace {

using arm::line_bytes;
using arm::panel;
using arm::panel_rows;

/// A line is four registers of four rows.
constexpr std::size_t quads = line_bytes / 16;

/// Where byte p of a dword of scales belongs whose two bytes in the middle were exchanged, and of
/// one as it is.
constexpr std::size_t exchanged[4] = {0, 2, 1, 3};

/// Bits [shift, ...) of every byte, those above the mask cut off.
inline uint8x16_t bits(uint8x16_t v, int shift, std::uint8_t mask) {
  return vandq_u8(vshlq_u8(v, vdupq_n_s8(static_cast<std::int8_t>(-shift))), vdupq_n_u8(mask));
}

/// Finite fp16 values of the rows as integer multiples of 2^-24: exact while they fit 32 bits.
inline void unpack_scales(const unsigned char* halves, std::int32_t* d) {
  for (std::size_t r = 0; r < panel_rows; r += 4) {
    const float16x4_t some = vreinterpret_f16_u8(vld1_u8(halves + 2 * r));
    vst1q_s32(d + r, vcvtnq_s32_f32(vmulq_n_f32(vcvt_f32_f16(some), 0x1p24F)));
  }
}

/// The bytes of four rows' dwords to four groups' scales, less `offset`.
inline void spread(uint8x16_t dwords, std::int32_t (*groups)[panel_rows], std::size_t row,
                   std::int32_t offset) {
  const uint32x4_t all = vreinterpretq_u32_u8(dwords);
  for (std::size_t p = 0; p < 4; ++p) {
    const int32x4_t shift = vdupq_n_s32(-8 * static_cast<std::int32_t>(p));
    const uint32x4_t byte = vandq_u32(vshlq_u32(all, shift), vdupq_n_u32(255));
    vst1q_s32(groups[exchanged[p]] + row,
              vsubq_s32(vreinterpretq_s32_u32(byte), vdupq_n_s32(offset)));
  }
}

inline void put(panel& out, std::size_t dword, std::size_t quad, uint8x16_t weights) {
  vst1q_s8(out.w[dword] + 16 * quad, vreinterpretq_s8_u8(weights));
}

/// The eight scales and mins of six bits that Q4_K and Q5_K have.
void unpack_six_bits(const unsigned char* lines, panel& out) {
  for (std::size_t q = 0; q < quads; ++q) {
    const uint8x16_t a = vld1q_u8(lines + 16 * q);
    const uint8x16_t b = vld1q_u8(lines + line_bytes + 16 * q);
    const uint8x16_t c = vld1q_u8(lines + 2 * line_bytes + 16 * q);
    const auto above = [](uint8x16_t four, uint8x16_t two) {
      return vorrq_u8(four, vshlq_n_u8(bits(two, 6, 3), 4));
    };
    spread(bits(a, 0, 63), out.scale, 4 * q, 0);
    spread(above(bits(c, 0, 15), a), out.scale + 4, 4 * q, 0);
    spread(bits(b, 0, 63), out.min, 4 * q, 0);
    spread(above(bits(c, 4, 15), b), out.min + 4, 4 * q, 0);
  }
}

/// Weights of blocks of 32: their scales stand together before those of all eight.
template <std::uint32_t Lines, class Unpack>
void unpack_blocks(const unsigned char* packed, std::uint32_t cols, panel& out, Unpack weights) {
  const unsigned char* lines = packed + 8 * layout::panel_halves;
  for (std::uint32_t b = 0; b < cols / 32; ++b, lines += Lines * line_bytes) {
    unpack_scales(packed + b * layout::panel_halves, out.d[b]);
    for (std::uint32_t i = 0; i < Lines; ++i) {
      for (std::size_t q = 0; q < quads; ++q) {
        weights(vld1q_u8(lines + i * line_bytes + 16 * q), 8 * b + i, q);
      }
    }
  }
}

} // namespace

void unpack_q8_0(const unsigned char* packed, std::uint32_t cols, panel& out) {
  unpack_blocks<8>(packed, cols, out, [&](uint8x16_t w, std::size_t dword, std::size_t q) {
    put(out, dword, q, veorq_u8(w, vdupq_n_u8(0x80)));
  });
}

void unpack_q4_0(const unsigned char* packed, std::uint32_t cols, panel& out) {
  const uint8x16_t eight = vdupq_n_u8(8);
  unpack_blocks<4>(packed, cols, out, [&](uint8x16_t w, std::size_t dword, std::size_t q) {
    put(out, dword, q, vsubq_u8(bits(w, 0, 15), eight));
    put(out, dword + 4, q, vsubq_u8(bits(w, 4, 15), eight));
  });
}

void unpack_q4_k(const unsigned char* packed, std::uint32_t /*cols*/, panel& out) {
  using from = layout::q4_k_panel;
  unpack_scales(packed, out.d[0]);
  unpack_scales(packed + from::dmin, out.m);
  unpack_six_bits(packed + from::scales, out);
  for (std::size_t line = 0; line < 32; ++line) {
    const std::size_t dword = line / 8 * 16 + line % 8; // 64 elements in eight lines
    for (std::size_t q = 0; q < quads; ++q) {
      const uint8x16_t both = vld1q_u8(packed + from::nibbles + line * line_bytes + 16 * q);
      put(out, dword, q, bits(both, 0, 15));
      put(out, dword + 8, q, bits(both, 4, 15));
    }
  }
}

void unpack_q5_k(const unsigned char* packed, std::uint32_t /*cols*/, panel& out) {
  using from = layout::q5_k_panel;
  unpack_scales(packed, out.d[0]);
  unpack_scales(packed + from::dmin, out.m);
  unpack_six_bits(packed + from::scales, out);
  for (std::size_t pair = 0; pair < 4; ++pair) {
    const unsigned char* const fifths = packed + from::weights + pair * from::pair_bytes;
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t q = 0; q < quads; ++q) {
        const uint8x16_t both = vld1q_u8(fifths + (2 + i) * line_bytes + 16 * q);
        const uint8x16_t fifth = vld1q_u8(fifths + i / 4 * line_bytes + 16 * q);
        const int bit = static_cast<int>(i % 4);
        put(out, 16 * pair + i, q, vorrq_u8(bits(both, 0, 15), vshlq_n_u8(bits(fifth, bit, 1), 4)));
        put(out, 16 * pair + 8 + i, q,
            vorrq_u8(bits(both, 4, 15), vshlq_n_u8(bits(fifth, bit + 4, 1), 4)));
      }
    }
  }
}

void unpack_q6_k(const unsigned char* packed, std::uint32_t /*cols*/, panel& out) {
  using from = layout::q6_k_panel;
  unpack_scales(packed, out.d[0]);
  for (std::size_t g = 0; g < 16; ++g) {
    const int8x16_t scales = vreinterpretq_s8_u8(vld1q_u8(packed + from::scales + g * panel_rows));
    const int16x8_t halves[2] = {vmovl_s8(vget_low_s8(scales)), vmovl_high_s8(scales)};
    for (std::size_t h = 0; h < 2; ++h) {
      vst1q_s32(out.scale[g] + 8 * h, vmovl_s16(vget_low_s16(halves[h])));
      vst1q_s32(out.scale[g] + 8 * h + 4, vmovl_high_s16(halves[h]));
    }
  }
  const uint8x16_t centre = vdupq_n_u8(32);
  for (std::size_t quarter = 0; quarter < 4; ++quarter) {
    const unsigned char* const lines = packed + from::quarters + quarter * from::quarter_bytes;
    for (std::size_t i = 0; i < 8; ++i) {
      const std::size_t low_line = i < 4 ? 2 * i : 4 + i; // the first four beside their high bits
      const std::size_t high_line = 2 * (i % 4) + 1;
      const int first = i < 4 ? 0 : 2;
      for (std::size_t q = 0; q < quads; ++q) {
        const uint8x16_t low = vld1q_u8(lines + low_line * line_bytes + 16 * q);
        const uint8x16_t high = vld1q_u8(lines + high_line * line_bytes + 16 * q);
        const auto joined = [&](int nibble, int two) {
          return vsubq_u8(vorrq_u8(bits(low, nibble, 15), vshlq_n_u8(bits(high, two, 3), 4)),
                          centre);
        };
        put(out, 16 * quarter + i, q, joined(0, first));
        put(out, 16 * quarter + 8 + i, q, joined(4, first + 4));
      }
    }
  }
}

void unpack_q2_k(const unsigned char* packed, std::uint32_t /*cols*/, panel& out) {
  using from = layout::q2_k_panel;
  unpack_scales(packed, out.d[0]);
  unpack_scales(packed + from::dmin, out.m);
  for (std::size_t line = 0; line < 4; ++line) {
    for (std::size_t q = 0; q < quads; ++q) {
      const uint8x16_t both = vld1q_u8(packed + from::scales + line * line_bytes + 16 * q);
      spread(bits(both, 0, 15), out.scale + 4 * line, 4 * q, 0);
      spread(bits(both, 4, 15), out.min + 4 * line, 4 * q, 0);
    }
  }
  for (std::size_t g = 0; g < 16; ++g) {
    for (std::size_t q = 0; q < quads; ++q) {
      const uint8x16_t pairs = vld1q_u8(packed + from::pairs + g * line_bytes + 16 * q);
      for (std::size_t i = 0; i < 4; ++i) {
        put(out, 4 * g + i, q, bits(pairs, 2 * static_cast<int>(i), 3));
      }
    }
  }
}

namespace {

/// The sixteen scales of six bits that Q3_K has: four low bits in two dwords, then two high ones.
void unpack_q3_k_scales(const unsigned char* lines, panel& out) {
  for (std::size_t q = 0; q < quads; ++q) {
    const uint8x16_t high = vld1q_u8(lines + 2 * line_bytes + 16 * q);
    for (std::size_t four = 0; four < 4; ++four) {
      const uint8x16_t low = vld1q_u8(lines + four % 2 * line_bytes + 16 * q);
      const int nibble = four < 2 ? 0 : 4;
      const uint8x16_t two = vshlq_n_u8(bits(high, 2 * static_cast<int>(four), 3), 4);
      spread(vorrq_u8(bits(low, nibble, 15), two), out.scale + 4 * four, 4 * q, 32);
    }
  }
}

} // namespace

void unpack_q3_k(const unsigned char* packed, std::uint32_t /*cols*/, panel& out) {
  using from = layout::q3_k_panel;
  unpack_scales(packed, out.d[0]);
  unpack_q3_k_scales(packed + from::scales, out);
  for (std::size_t j = 0; j < 8; ++j) {
    const unsigned char* const lines = packed + from::weights + j * from::block_bytes;
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t q = 0; q < quads; ++q) {
        const uint8x16_t thirds = vld1q_u8(lines + 16 * q);
        const uint8x16_t pairs = vld1q_u8(lines + (1 + i / 4) * line_bytes + 16 * q);
        const uint8x16_t w = vorrq_u8(bits(pairs, 2 * static_cast<int>(i % 4), 3),
                                      vshlq_n_u8(bits(thirds, static_cast<int>(i), 1), 2));
        put(out, 8 * j + i, q, vsubq_u8(w, vdupq_n_u8(4)));
      }
    }
  }
}

void unpack_iq4_xs(const unsigned char* packed, std::uint32_t /*cols*/, panel& out) {
  using from = layout::iq4_xs_panel;
  static constexpr std::int8_t levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                             1,    13,   25,  38,  53,  69,  89,  113};
  unpack_scales(packed, out.d[0]);
  for (std::size_t r = 0; r < panel_rows; ++r) {
    std::uint16_t high;
    std::uint32_t low;
    __builtin_memcpy(&high, packed + from::high_scales + 2 * r, sizeof high);
    __builtin_memcpy(&low, packed + from::low_scales + 4 * r, sizeof low);
    for (std::size_t j = 0; j < 8; ++j) {
      const std::uint32_t six = (low >> (4 * j) & 15U) | (high >> (2 * j) & 3U) << 4U;
      out.scale[j][r] = static_cast<std::int32_t>(six) - 32;
    }
  }
  const int8x16_t table = vld1q_s8(levels);
  for (std::size_t line = 0; line < 32; ++line) {
    const std::size_t dword = line / 4 * 8 + line % 4; // 32 elements in four lines
    for (std::size_t q = 0; q < quads; ++q) {
      const uint8x16_t both = vld1q_u8(packed + from::nibbles + line * line_bytes + 16 * q);
      vst1q_s8(out.w[dword] + 16 * q, vqtbl1q_s8(table, bits(both, 0, 15)));
      vst1q_s8(out.w[dword + 4] + 16 * q, vqtbl1q_s8(table, bits(both, 4, 15)));
    }
  }
}

} // namespace ovir::compute::neon

#endif
