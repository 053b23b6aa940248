// Products of weights in superblocks of 256 with activations in the form A256 (exact-1, section 3),
// from the panels of sixteen rows that the processors' kernels read, too
// (compute/kernels/formats/packed_superblocks.hpp). Numbers of places are in dwords.
//
// x_part(tokens, total, panel, row, blocks, first, step, token, q, k, m, sum) adds to total[t] what
// superblocks first, first + step, ... of row `row` of a panel give with row token[t] of the
// activations. `tokens` is a constant, so that the loops over it unroll.
//
// No sum of 32 bits overflows: |D| < 2^19 in weights that are not wide, k < 2^12, m and 6-bit
// scales < 2^6, q < 2^7.
#define PART(name)                                                                                 \
  ALWAYS_INLINE void name(const uint tokens, long* total, __global const uint* panel, uint row,    \
                          uint blocks, uint first, uint step, const uint* token,                   \
                          __global const uint* q, __global const int* k, __global const int* m,    \
                          __global const int* sum)

typedef struct {
  int d, dmin;
  uint sc[2]; // eight 6-bit scales, bytes in the order 0, 2, 1, 3, 4, 6, 5, 7
  uint mn[2];
} six_bit_head;

// The first line of d and dmin, and three lines of packed scales: alike in Q4_K and Q5_K.
ALWAYS_INLINE six_bit_head six_bit_scales(__global const uint* superblock, uint row) {
  six_bit_head h;
  __global const ushort* halves = (__global const ushort*)superblock;
  const uint p0 = superblock[PANEL_LINE + row], p1 = superblock[2 * PANEL_LINE + row];
  const uint p2 = superblock[3 * PANEL_LINE + row];
  h.d = fixed24(halves[row]);
  h.dmin = fixed24(halves[PANEL_ROWS + row]);
  h.sc[0] = p0 & 0x3F3F3F3Fu;
  h.mn[0] = p1 & 0x3F3F3F3Fu;
  h.sc[1] = (p2 & 0x0F0F0F0Fu) | (p0 >> 2 & 0x30303030u);
  h.mn[1] = (p2 >> 4 & 0x0F0F0F0Fu) | (p1 >> 2 & 0x30303030u);
  return h;
}
// Of sub-block 2 * pair + side.
ALWAYS_INLINE int six_bit_of(const uint* packed, uint pair, uint side) {
  return (int)(packed[pair >> 1] >> (8 * (pair & 1u) + 16 * side) & 255u);
}

// Sum of mn_j times m_j * sum_j over a superblock: below 2^27.
ALWAYS_INLINE int mins_of(const six_bit_head* h, __global const int* sum) {
  int mins = 0;
#pragma unroll
  for (uint j = 0; j < 8; ++j) {
    mins += six_bit_of(h->mn, j >> 1, j & 1u) * sum[j];
  }
  return mins;
}

ALWAYS_INLINE int dot_of_32(const uint* w, __global const uint4* x) {
  const uint4 a = x[0], b = x[1];
  int dot = dot4u(w[0], a.x, 0);
  dot = dot4u(w[1], a.y, dot);
  dot = dot4u(w[2], a.z, dot);
  dot = dot4u(w[3], a.w, dot);
  dot = dot4u(w[4], b.x, dot);
  dot = dot4u(w[5], b.y, dot);
  dot = dot4u(w[6], b.z, dot);
  return dot4u(w[7], b.w, dot);
}

PART(q4_k_part) {
  const uint n = blocks / 8;
  for (uint b = first; b < n; b += step) {
    __global const uint* s = panel + (size_t)b * Q4_K_PANEL;
    const six_bit_head h = six_bit_scales(s, row);
    s += Q4_K_NIBBLES + row;
    int scaled[TOKENS_MAX];
    for (uint t = 0; t < tokens; ++t) {
      scaled[t] = 0;
    }
    for (uint pair = 0; pair < 4; ++pair, s += 8 * PANEL_LINE) {
      uint low[8], high[8];
#pragma unroll
      for (uint i = 0; i < 8; ++i) {
        const uint v = s[i * PANEL_LINE];
        low[i] = v & 0x0F0F0F0Fu;
        high[i] = v >> 4 & 0x0F0F0F0Fu;
      }
      const int sc0 = six_bit_of(h.sc, pair, 0), sc1 = six_bit_of(h.sc, pair, 1);
      for (uint t = 0; t < tokens; ++t) {
        const size_t j = (size_t)token[t] * blocks + b * 8 + pair * 2;
        __global const uint4* x = (__global const uint4*)(q + j * 8);
        scaled[t] += sc0 * m[j] * dot_of_32(low, x) + sc1 * m[j + 1] * dot_of_32(high, x + 2);
      }
    }
    for (uint t = 0; t < tokens; ++t) {
      const int kk = k[(size_t)token[t] * n + b];
      total[t] += (long)(kk * h.d) * scaled[t];
      total[t] -= (long)(kk * h.dmin) * mins_of(&h, sum + ((size_t)token[t] * n + b) * 8);
    }
  }
}

// Before each 8 lines of nibbles, which are of 64 elements, two of fifth bits: element 32 s + 4 i +
// b of the 64 has bit 4 s + i % 4 of byte b in line i / 4. Eight sub-blocks can pass 2^31, four
// cannot.
PART(q5_k_part) {
  const uint n = blocks / 8;
  for (uint b = first; b < n; b += step) {
    __global const uint* s = panel + (size_t)b * Q5_K_PANEL;
    const six_bit_head h = six_bit_scales(s, row);
    s += Q5_K_WEIGHTS + row;
    long scaled[TOKENS_MAX];
    for (uint t = 0; t < tokens; ++t) {
      scaled[t] = 0;
    }
    for (uint pair = 0; pair < 4; ++pair, s += 10 * PANEL_LINE) {
      uint low[8], high[8];
#pragma unroll
      for (uint i = 0; i < 8; ++i) {
        const uint v = s[(2 + i) * PANEL_LINE], fifths = s[(i / 4) * PANEL_LINE] >> (i % 4);
        low[i] = (v & 0x0F0F0F0Fu) | (fifths & 0x01010101u) << 4;
        high[i] = (v >> 4 & 0x0F0F0F0Fu) | (fifths & 0x10101010u);
      }
      const int sc0 = six_bit_of(h.sc, pair, 0), sc1 = six_bit_of(h.sc, pair, 1);
      for (uint t = 0; t < tokens; ++t) {
        const size_t j = (size_t)token[t] * blocks + b * 8 + pair * 2;
        __global const uint4* x = (__global const uint4*)(q + j * 8);
        scaled[t] += sc0 * m[j] * dot_of_32(low, x) + sc1 * m[j + 1] * dot_of_32(high, x + 2);
      }
    }
    for (uint t = 0; t < tokens; ++t) {
      const int kk = k[(size_t)token[t] * n + b];
      total[t] += (long)(kk * h.d) * scaled[t];
      total[t] -= (long)(kk * h.dmin) * mins_of(&h, sum + ((size_t)token[t] * n + b) * 8);
    }
  }
}

// Four 6-bit numbers less 32, as signed bytes.
ALWAYS_INLINE uint six_signed(uint v) {
  const uint x = v ^ 0x20202020u, s = x & 0x20202020u;
  return x | s << 1 | s << 2;
}

// Four groups of 16 elements of a quarter of a superblock with one token: below 2^31.
ALWAYS_INLINE int q6_k_quarter(const uint* w, const int* sc, __global const uint4* x, int m0,
                               int m1) {
  int out = 0;
#pragma unroll
  for (uint g = 0; g < 4; ++g) {
    const uint4 a = x[g];
    int dot = dot4s(w[g * 4], a.x, 0);
    dot = dot4s(w[g * 4 + 1], a.y, dot);
    dot = dot4s(w[g * 4 + 2], a.z, dot);
    dot = dot4s(w[g * 4 + 3], a.w, dot);
    out += sc[g] * (g < 2 ? m0 : m1) * dot;
  }
  return out;
}

// A quarter is of 64 elements: four lines of low nibbles, each followed by one of high bits (two of
// each run of 16 elements), and four lines of low nibbles.
PART(q6_k_part) {
  const uint n = blocks / 8;
  for (uint b = first; b < n; b += step) {
    __global const uint* s = panel + (size_t)b * Q6_K_PANEL;
    const int d = fixed24(((__global const ushort*)s)[row]);
    __global const char* scales = (__global const char*)(s + Q6_K_SCALES) + row;
    s += Q6_K_QUARTERS + row;
    long scaled[TOKENS_MAX];
    for (uint t = 0; t < tokens; ++t) {
      scaled[t] = 0;
    }
    for (uint quarter = 0; quarter < 4; ++quarter, s += 12 * PANEL_LINE) {
      uint w[16];
      int sc[4];
#pragma unroll
      for (uint i = 0; i < 4; ++i) {
        const uint one = s[2 * i * PANEL_LINE], high = s[(2 * i + 1) * PANEL_LINE];
        const uint two = s[(8 + i) * PANEL_LINE];
        w[i] = six_signed((one & 0x0F0F0F0Fu) | (high << 4 & 0x30303030u));
        w[4 + i] = six_signed((two & 0x0F0F0F0Fu) | (high << 2 & 0x30303030u));
        w[8 + i] = six_signed((one >> 4 & 0x0F0F0F0Fu) | (high & 0x30303030u));
        w[12 + i] = six_signed((two >> 4 & 0x0F0F0F0Fu) | (high >> 2 & 0x30303030u));
        sc[i] = scales[(quarter * 4 + i) * PANEL_ROWS];
      }
      for (uint t = 0; t < tokens; ++t) {
        const size_t j = (size_t)token[t] * blocks + b * 8 + quarter * 2;
        scaled[t] += q6_k_quarter(w, sc, (__global const uint4*)(q + j * 8), m[j], m[j + 1]);
      }
    }
    for (uint t = 0; t < tokens; ++t) {
      total[t] += (long)(k[(size_t)token[t] * n + b] * d) * scaled[t];
    }
  }
}

// Rows as bytes, one behind the other (compute/kernels/formats/unpacked_rows.hpp): what every type
// without a product of its own becomes. A block is D, M, 16 scales, 16 mins and 256 weights.
PART(rows_256_part) {
  const uint n = blocks / 8;
  __global const uint* rows = panel + (size_t)row * n * UNPACKED_256;
  for (uint b = first; b < n; b += step) {
    __global const uint* s = rows + (size_t)b * UNPACKED_256;
    const int d = (int)s[0], dmin = (int)s[1];
    __global const char* sc = (__global const char*)(s + 2);
    __global const char* mn = sc + 16;
    s += 10;
    long scaled[TOKENS_MAX], mins[TOKENS_MAX];
    for (uint t = 0; t < tokens; ++t) {
      scaled[t] = 0;
      mins[t] = 0;
    }
    for (uint g = 0; g < 16; ++g, s += 4) {
      const uint w0 = s[0], w1 = s[1], w2 = s[2], w3 = s[3];
      for (uint t = 0; t < tokens; ++t) {
        const size_t j = (size_t)token[t] * blocks + b * 8 + g / 2;
        const uint4 x = ((__global const uint4*)(q + j * 8))[g & 1u];
        int dot = dot4s(w0, x.x, 0);
        dot = dot4s(w1, x.y, dot);
        dot = dot4s(w2, x.z, dot);
        dot = dot4s(w3, x.w, dot);
        const uint ones = 0x01010101u;
        const int all =
            dot4s(ones, x.x, dot4s(ones, x.y, dot4s(ones, x.z, dot4s(ones, x.w, 0))));
        scaled[t] += sc[g] * m[j] * dot;
        mins[t] += mn[g] * m[j] * all;
      }
    }
    for (uint t = 0; t < tokens; ++t) {
      const long kk = k[(size_t)token[t] * n + b];
      total[t] += kk * d * scaled[t] - kk * dmin * mins[t];
    }
  }
}
