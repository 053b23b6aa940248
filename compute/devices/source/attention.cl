// K and V, and attention (exact-1, section 4).
//
// K and V of a layer lie in pages of WINDOW positions, [k or v][kv head][WINDOW][head_dim] as fp16:
// the K and V of a block (docs/formats/kv-block.md). Row r of a pass is at position[r] of a request
// whose page of position p is pages[table_of[r] + p / WINDOW].
static inline size_t kv_at(uint page, uint which, uint heads, uint head, uint head_dim, uint p) {
  return ((((size_t)page * 2 + which) * heads + head) * WINDOW + p % WINDOW) * head_dim;
}

// The first position that a row sees.
static inline uint first_seen(uint last, uint window) {
  return window != 0 && last >= window ? last + 1 - window : 0;
}

// K and V of every row go to their page, and side by side to row fresh_first + row of fresh
// [2][kv heads * head_dim], from which the host takes them. What fp16 cannot hold is reported.
KERNEL(64)
store_kv(__global const float* k, __global const float* v, uint heads, uint head_dim,
         __global ushort* pool, __global const uint* pages, __global const uint* table_of,
         __global const uint* position, __global ushort* fresh, uint fresh_first,
         __global uint* failed, uint where) {
  const uint i = GROUP_X * 64 + LID, row = GROUP_Y;
  if (i < heads * head_dim) {
    const uint p = position[row], page = pages[table_of[row] + p / WINDOW];
    const size_t from = (size_t)row * heads * head_dim + i;
    const uint a = float_to_half(k[from]), b = float_to_half(v[from]);
    pool[kv_at(page, 0, heads, i / head_dim, head_dim, p) + i % head_dim] = (ushort)a;
    pool[kv_at(page, 1, heads, i / head_dim, head_dim, p) + i % head_dim] = (ushort)b;
    __global ushort* beside = fresh + (size_t)(fresh_first + row) * 2 * heads * head_dim;
    beside[i] = (ushort)a;
    beside[heads * head_dim + i] = (ushort)b;
    if ((a & 0x7C00u) == 0x7C00u || (b & 0x7C00u) == 0x7C00u) {
      report(failed, row, where);
    }
  }
}

// Scores of rows row_first and on: groups of 16 positions x 16 lanes; x of the grid: tiles of
// positions, y: kv head, z: row. scores [row - row_first][head][stride].
KERNEL(256)
attend_scores(__global const float* q, uint row_first, uint heads, uint kv_heads, uint head_dim,
              __global const ushort* pool, __global const uint* pages,
              __global const uint* table_of, __global const uint* position, uint window,
              float scale, float cap, __global float* scores, uint stride) {
  __local float room[256];
  const uint lid = LID, lane = lid & 15u, row = row_first + GROUP_Z, kv = GROUP_Y;
  const uint last = position[row], from = first_seen(last, window);
  const uint p = GROUP_X * 16 + (lid >> 4), per = heads / kv_heads;
  const uint turns = GROUP_X * 16 > last || GROUP_X * 16 + 15 < from ? 0 : per;
  const uint seen = p <= last && p >= from;
  __global const ushort* key =
      pool +
      (seen ? kv_at(pages[table_of[row] + p / WINDOW], 0, kv_heads, kv, head_dim, p) : (size_t)0);
  for (uint i = 0; i < turns; ++i) {
    const uint h = kv * per + i;
    __global const float* query = q + ((size_t)row * heads + h) * head_dim;
    float s = 0.0f;
    if (seen) {
      for (uint d = lane; d < head_dim; d += 16) {
        s = fma32(query[d], half_to_float(key[d]), s);
      }
    }
    const float dot = fold16(s, room, lid);
    if (seen && lane == 0) {
      const float score = dot * scale;
      scores[((size_t)GROUP_Z * heads + h) * stride + p] =
          cap == 0.0f ? score : exact_soft_cap(score, cap);
    }
  }
}

// The highest score of each (row, head): x of the grid: head, y: row. Which of two zeros wins does
// not show in what follows, and a NaN never does.
KERNEL(256)
attend_highest(__global const float* scores, uint row_first, uint heads, uint stride,
               __global const uint* position, uint window, __global float* most) {
  __local float room[256];
  const uint lid = LID, h = GROUP_X, last = position[row_first + GROUP_Y];
  __global const float* s = scores + ((size_t)GROUP_Y * heads + h) * stride;
  float best = float_of(0xFF800000u);
  for (uint p = first_seen(last, window) + lid; p <= last; p += 256) {
    best = s[p] > best ? s[p] : best;
  }
  room[lid] = best;
  SYNC();
  for (uint n = 128; n > 0; n >>= 1) {
    if (lid < n) {
      room[lid] = room[lid + n] > room[lid] ? room[lid + n] : room[lid];
    }
    SYNC();
  }
  if (lid == 0) {
    most[GROUP_Y * heads + h] = room[0];
  }
}

// Chunks of 256 positions: x of the grid: chunk, y: head, z: row. out [row - row_first][head]
// [chunks][head_dim], sums [row - row_first][head][chunks].
KERNEL(256)
attend_chunks(__global const float* scores, __global const float* most, uint row_first, uint heads,
              uint kv_heads, uint head_dim, __global const ushort* pool,
              __global const uint* pages, __global const uint* table_of,
              __global const uint* position, uint window, uint stride, uint chunks,
              __global float* out, __global float* sums) {
  __local float weight[256];
  __local float room[256];
  const uint lid = LID, row = row_first + GROUP_Z, h = GROUP_Y, chunk = GROUP_X;
  const uint last = position[row], from = first_seen(last, window), begin = chunk * 256;
  const uint first = larger_of(begin, from), end = smaller_of(begin + 256, last + 1);
  const uint any = first < end, p = begin + lid;
  const size_t head = (size_t)GROUP_Z * heads + h;
  weight[lid] = p >= first && p < end ? exact_exp(scores[head * stride + p] - most[head]) : 0.0f;
  SYNC();
  float s = 0.0f;
  if (lid < 16) {
    for (uint i = lid; i < 256; i += 16) {
      if (begin + i >= first && begin + i < end) {
        s = fma32(weight[i], 1.0f, s);
      }
    }
  }
  const float sum = fold16(s, room, lid);
  if (lid == 0 && any) {
    sums[head * chunks + chunk] = sum;
  }
  for (uint d = lid; d < head_dim && any; d += 256) {
    float o = 0.0f;
    for (uint i = first; i < end;) {
      const uint stop = smaller_of(end, (i / WINDOW + 1) * WINDOW);
      __global const ushort* v = pool + kv_at(pages[table_of[row] + i / WINDOW], 1, kv_heads,
                                              h / (heads / kv_heads), head_dim, i);
      for (; i < stop; ++i, v += head_dim) {
        o = fma32(weight[i - begin], half_to_float(v[d]), o);
      }
    }
    out[(head * chunks + chunk) * head_dim + d] = o;
  }
}

// x of the grid: head, y: row. y [row][head][head_dim], of all rows.
KERNEL(64)
attend_join(__global const float* out, __global const float* sums, uint row_first, uint heads,
            uint head_dim, uint chunks, __global const uint* position, uint window,
            __global float* y) {
  const uint row = row_first + GROUP_Y, h = GROUP_X, last = position[row];
  const size_t head = (size_t)GROUP_Y * heads + h;
  for (uint d = LID; d < head_dim; d += 64) {
    float o = 0.0f, total = 0.0f;
    for (uint c = first_seen(last, window) / 256; c <= last / 256; ++c) {
      total = total + sums[head * chunks + c];
      o = o + out[(head * chunks + c) * head_dim + d];
    }
    y[((size_t)row * heads + h) * head_dim + d] = o / total;
  }
}
