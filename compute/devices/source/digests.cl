// Digests of boundaries: BLAKE3 in key-derivation mode over layer, window, dim, rows, positions, as
// docs/formats/transcript.md has it. Rows begin 12 bytes into the message: words stay words.
#define B3_CHUNK_START 1u
#define B3_CHUNK_END 2u
#define B3_PARENT 4u
#define B3_ROOT 8u
#define B3_MATERIAL 64u

static inline uint rotated_right(uint x, uint n) { return x >> n | x << (32 - n); }

#define B3_G(a, b, c, d, x, y)                                                                     \
  v[a] += v[b] + (x);                                                                              \
  v[d] = rotated_right(v[d] ^ v[a], 16);                                                           \
  v[c] += v[d];                                                                                    \
  v[b] = rotated_right(v[b] ^ v[c], 12);                                                           \
  v[a] += v[b] + (y);                                                                              \
  v[d] = rotated_right(v[d] ^ v[a], 8);                                                            \
  v[c] += v[d];                                                                                    \
  v[b] = rotated_right(v[b] ^ v[c], 7);

static inline void b3_compress(uint cv[8], const uint block[16], uint counter, uint length,
                               uint flags) {
  uint m[16], v[16];
#pragma unroll
  for (uint i = 0; i < 16; ++i) {
    m[i] = block[i];
  }
#pragma unroll
  for (uint i = 0; i < 8; ++i) {
    v[i] = cv[i];
  }
  v[8] = 0x6A09E667u;
  v[9] = 0xBB67AE85u;
  v[10] = 0x3C6EF372u;
  v[11] = 0xA54FF53Au;
  v[12] = counter;
  v[13] = 0;
  v[14] = length;
  v[15] = flags;
#pragma unroll
  for (uint r = 0; r < 7; ++r) {
    B3_G(0, 4, 8, 12, m[0], m[1])
    B3_G(1, 5, 9, 13, m[2], m[3])
    B3_G(2, 6, 10, 14, m[4], m[5])
    B3_G(3, 7, 11, 15, m[6], m[7])
    B3_G(0, 5, 10, 15, m[8], m[9])
    B3_G(1, 6, 11, 12, m[10], m[11])
    B3_G(2, 7, 8, 13, m[12], m[13])
    B3_G(3, 4, 9, 14, m[14], m[15])
    const uint o[16] = {m[2], m[6],  m[3],  m[10], m[7], m[0],  m[4],  m[13],
                        m[1], m[11], m[12], m[5],  m[9], m[14], m[15], m[8]};
#pragma unroll
    for (uint i = 0; i < 16; ++i) {
      m[i] = o[i];
    }
  }
#pragma unroll
  for (uint i = 0; i < 8; ++i) {
    cv[i] = v[i] ^ v[i + 8];
  }
}

// Word `at` of the message of a window of `n` floats.
static inline uint boundary_word(__global const uint* rows, uint at, uint n, uint layer,
                                 uint window, uint dim) {
  switch (at) {
  case 0: return layer;
  case 1: return window;
  case 2: return dim;
  default: return at < 3 + n ? rows[at - 3] : at == 3 + n ? n / dim : 0;
  }
}

// Chunks of 1024 bytes of whole windows: x of the grid: 64 chunks, y: window. Window y begins at
// row first_rows[y] of `rows` [rows][dim] and has the number numbers[y]. cvs [window][chunks][8].
KERNEL(64)
boundary_chunks(__global const uint* rows, uint dim, uint layer, __global const uint* first_rows,
                __global const uint* numbers, __global const uint* key, __global uint* cvs) {
  const uint n = dim * WINDOW, words = n + 4, chunks = (words + 255) / 256;
  const uint chunk = GROUP_X * 64 + LID;
  if (chunk < chunks) {
    rows += (size_t)first_rows[GROUP_Y] * dim;
    uint cv[8];
    for (uint i = 0; i < 8; ++i) {
      cv[i] = key[i];
    }
    const uint here = smaller_of(256u, words - chunk * 256), blocks = (here + 15) / 16;
    for (uint b = 0; b < blocks; ++b) {
      uint block[16];
      for (uint i = 0; i < 16; ++i) {
        block[i] = boundary_word(rows, chunk * 256 + b * 16 + i, n, layer, numbers[GROUP_Y], dim);
      }
      const uint flags = B3_MATERIAL | (b == 0 ? B3_CHUNK_START : 0) |
                         (b + 1 == blocks ? B3_CHUNK_END : 0) |
                         (b + 1 == blocks && chunks == 1 ? B3_ROOT : 0);
      b3_compress(cv, block, chunk, smaller_of(16u, here - b * 16) * 4, flags);
    }
    for (uint i = 0; i < 8; ++i) {
      cvs[((size_t)GROUP_Y * chunks + chunk) * 8 + i] = cv[i];
    }
  }
}

// Joins the chunks of each window, level by level, in place; its digest becomes row to + window of
// digests [8].
KERNEL(256)
boundary_parents(__global uint* cvs, uint chunks, __global const uint* key, __global uint* digests,
                 uint to) {
  cvs += (size_t)GROUP_X * chunks * 8;
  for (uint n = chunks; n > 1; n = (n + 1) / 2) {
    for (uint base = 0; base < n / 2; base += 256) {
      const uint i = base + LID;
      uint cv[8], block[16];
      if (i < n / 2) {
        for (uint j = 0; j < 16; ++j) {
          block[j] = cvs[(size_t)i * 16 + j];
        }
        for (uint j = 0; j < 8; ++j) {
          cv[j] = key[j];
        }
        b3_compress(cv, block, 0, 64, B3_MATERIAL | B3_PARENT | (n == 2 ? B3_ROOT : 0));
      }
      SYNC_GLOBAL();
      if (i < n / 2) {
        for (uint j = 0; j < 8; ++j) {
          cvs[(size_t)i * 8 + j] = cv[j];
        }
      }
      SYNC_GLOBAL();
    }
    if ((n & 1u) != 0 && LID < 8) {
      cvs[(size_t)(n / 2) * 8 + LID] = cvs[(size_t)(n - 1) * 8 + LID];
    }
    SYNC_GLOBAL();
  }
  if (LID < 8) {
    digests[(size_t)(to + GROUP_X) * 8 + LID] = cvs[LID];
  }
}
