// Products of weights in blocks of 32 with activations in the form A32, and the kernels of all
// integer products (exact-1, section 3).

// Q8_0 and Q4_0: groups of eight blocks, first 8 x 16 scales, then of each block its dwords. The
// last group may be short of blocks, not of scales.
ALWAYS_INLINE __global const uint* group_of(__global const uint* panel, uint block, uint dwords) {
  return panel +
         (size_t)(block / GROUP_BLOCKS) * (GROUP_SCALES + GROUP_BLOCKS * dwords * PANEL_LINE);
}
ALWAYS_INLINE int group_scale(__global const uint* group, uint block, uint row) {
  return fixed24(((__global const ushort*)group)[(block % GROUP_BLOCKS) * PANEL_ROWS + row]);
}

// Weights have 128 added. |dot| * k stays below 2^31.
PART(q8_0_part) {
  for (uint b = first; b < blocks; b += step) {
    __global const uint* s = group_of(panel, b, 8);
    const int d = group_scale(s, b, row);
    s += GROUP_SCALES + (b % GROUP_BLOCKS) * 8 * PANEL_LINE + row;
    uint w[8];
#pragma unroll
    for (uint i = 0; i < 8; ++i) {
      w[i] = s[i * PANEL_LINE];
    }
    for (uint t = 0; t < tokens; ++t) {
      const size_t j = (size_t)token[t] * blocks + b;
      const int dot = dot_of_32(w, (__global const uint4*)(q + j * 8)) - 128 * sum[j];
      total[t] += (long)(dot * k[j]) * d;
    }
  }
}

// Low nibbles are elements 0 to 15; 8 is to be taken off.
PART(q4_0_part) {
  for (uint b = first; b < blocks; b += step) {
    __global const uint* s = group_of(panel, b, 4);
    const int d = group_scale(s, b, row);
    s += GROUP_SCALES + (b % GROUP_BLOCKS) * 4 * PANEL_LINE + row;
    uint w[8];
#pragma unroll
    for (uint i = 0; i < 4; ++i) {
      const uint v = s[i * PANEL_LINE];
      w[i] = v & 0x0F0F0F0Fu;
      w[4 + i] = v >> 4 & 0x0F0F0F0Fu;
    }
    for (uint t = 0; t < tokens; ++t) {
      const size_t j = (size_t)token[t] * blocks + b;
      const int dot = dot_of_32(w, (__global const uint4*)(q + j * 8)) - 8 * sum[j];
      total[t] += (long)(dot * k[j]) * d;
    }
  }
}

// As rows_256_part: a block is D, M and 32 weights.
PART(rows_32_part) {
  __global const uint* rows = panel + (size_t)row * blocks * UNPACKED_32;
  for (uint b = first; b < blocks; b += step) {
    __global const uint* s = rows + (size_t)b * UNPACKED_32;
    const long d = (int)s[0], dmin = (int)s[1];
    for (uint t = 0; t < tokens; ++t) {
      const size_t j = (size_t)token[t] * blocks + b;
      __global const uint* x = q + j * 8;
      int dot = 0;
#pragma unroll
      for (uint i = 0; i < 8; ++i) {
        dot = dot4s(s[2 + i], x[i], dot);
      }
      total[t] += (long)k[j] * (d * dot - dmin * sum[j]);
    }
  }
}

// A panel of sixteen rows and `count` tokens to a group of 128: SLICES work-items share a row, each
// with its part of the columns, and integers join exactly. Neighbouring groups share a panel. Rows
// of y are y_stride apart; `power` is the type's 2^-24 with its fraction bits.
#define SLICES 8
#define PRODUCT(name, part_of_row, count)                                                          \
  KERNEL(128)                                                                                      \
  name(__global const uint* w, uint panel_dwords, uint rows, uint cols, uint tokens,               \
       __global const uint* q, __global const int* k, __global const int* m,                       \
       __global const int* sum, __global const float* u, float power, __global float* y,           \
       uint y_stride) {                                                                            \
    __local long part[(count) * 16 * SLICES];                                                      \
    const uint lid = LID, row = lid & 15u, slice = lid >> 4, first = GROUP_X * (count);            \
    uint token[count];                                                                             \
    long total[count];                                                                             \
    for (uint t = 0; t < (count); ++t) {                                                           \
      token[t] = smaller_of(first + t, tokens - 1);                                                \
      total[t] = 0;                                                                                \
    }                                                                                              \
    part_of_row(count, total, w + (size_t)GROUP_Y * panel_dwords, row, cols / 32, slice, SLICES,   \
                token, q, k, m, sum);                                                              \
    for (uint t = 0; t < (count); ++t) {                                                           \
      part[t * 16 * SLICES + lid] = total[t];                                                      \
    }                                                                                              \
    SYNC();                                                                                        \
    if (lid < 16 * (count)) {                                                                      \
      const uint t = lid >> 4, to = GROUP_Y * 16 + row;                                            \
      long all = 0;                                                                                \
      for (uint i = 0; i < SLICES; ++i) {                                                          \
        all += part[t * 16 * SLICES + i * 16 + row];                                               \
      }                                                                                            \
      if (to < rows && first + t < tokens) {                                                       \
        y[(size_t)(first + t) * y_stride + to] = rounded(all, u[first + t] * power);               \
      }                                                                                            \
    }                                                                                              \
  }
// One token, a few, and tiles of prompts.
#define PRODUCTS(type)                                                                             \
  PRODUCT(type##_1, type##_part, 1)                                                                \
  PRODUCT(type##_4, type##_part, 4)                                                                \
  PRODUCT(type##_8, type##_part, TOKENS_MAX)

PRODUCTS(q4_k)
PRODUCTS(q5_k)
PRODUCTS(q6_k)
PRODUCTS(q8_0)
PRODUCTS(q4_0)
PRODUCTS(rows_256)
PRODUCTS(rows_32)

// F16, BF16 and F32: striped sums. Panels are [columns / 16][row][16]; a group of 256 has the 16
// rows x 16 lanes of one and `count` tokens. Elements beyond the last column are skipped.
#define load_f16(w, at) half_to_float(((__global const ushort*)(w))[at])
#define load_bf16(w, at) float_of((uint)((__global const ushort*)(w))[at] << 16)
#define load_f32(w, at) ((__global const float*)(w))[at]
#define FLOAT_PRODUCT(name, load, count)                                                           \
  KERNEL(256)                                                                                      \
  name(__global const uint* w, uint panel_dwords, uint rows, uint cols, uint tokens,               \
       __global const float* x, __global float* y, uint y_stride) {                                \
    __local float room[256];                                                                       \
    const uint lid = LID, lane = lid & 15u, first = GROUP_X * (count);                             \
    __global const uint* panel = w + (size_t)GROUP_Y * panel_dwords;                               \
    float total[count];                                                                            \
    for (uint t = 0; t < (count); ++t) {                                                           \
      total[t] = 0.0f;                                                                             \
    }                                                                                              \
    for (uint i = lane; i < cols; i += 16) {                                                       \
      const float v = load(panel, (size_t)(i >> 4) * 256 + lid);                                   \
      for (uint t = 0; t < (count); ++t) {                                                         \
        total[t] = fma32(v, x[(size_t)smaller_of(first + t, tokens - 1) * cols + i], total[t]);    \
      }                                                                                            \
    }                                                                                              \
    for (uint t = 0; t < (count); ++t) {                                                           \
      const float all = fold16(total[t], room, lid);                                               \
      const uint to = GROUP_Y * 16 + (lid >> 4);                                                   \
      if (lane == 0 && to < rows && first + t < tokens) {                                          \
        y[(size_t)(first + t) * y_stride + to] = all;                                              \
      }                                                                                            \
    }                                                                                              \
  }
#define FLOAT_PRODUCTS(type)                                                                       \
  FLOAT_PRODUCT(type##_1, load_##type, 1)                                                          \
  FLOAT_PRODUCT(type##_8, load_##type, TOKENS_MAX)

FLOAT_PRODUCTS(f16)
FLOAT_PRODUCTS(bf16)
FLOAT_PRODUCTS(f32)
