// Activations as integers (exact-1, section 2). Groups of 256 work-items have a row, eight
// work-items a block of 32. At most QUANTIZE_COLUMNS columns.
//
// Row r of `x` becomes row to + r of q [rows][cols] (bytes), k [rows][scale blocks], m and sum
// [rows][cols / 32] and u [rows]. `sum` holds m_j times the sum of q over block j, all that products
// need of it. A row with a NaN or an infinity is reported and becomes zeros.
KERNEL(256)
quantize(__global const float* x, uint cols, uint a256, uint to, __global uint* q, __global int* k,
         __global int* m, __global int* sum, __global float* u, __global uint* failed, uint where) {
  __local uint part[256];
  __local uint scale[QUANTIZE_COLUMNS / 32]; // bits of s_j
  __local int kb[QUANTIZE_COLUMNS / 32];
  const uint lid = LID, row = GROUP_X, out = to + row, lane = lid & 7u, slot = lid >> 3;
  const uint blocks = cols / 32, scales = a256 ? cols / 256 : blocks, per = a256 ? 8 : 1;
  __global const float4* in = (__global const float4*)(x + (size_t)row * cols);

  uint largest = 0; // of all |x|, as bits: they order like the numbers, a NaN above infinity
  for (uint base = 0; base < blocks; base += 32) {
    const uint j = base + slot;
    uint most = 0;
    if (j < blocks) {
      const float4 v = in[j * 8 + lane];
      const uint a = bits_of(v.x) & MAGNITUDE_BITS, b = bits_of(v.y) & MAGNITUDE_BITS;
      const uint c = bits_of(v.z) & MAGNITUDE_BITS, d = bits_of(v.w) & MAGNITUDE_BITS;
      most = larger_of(larger_of(a, b), larger_of(c, d));
    }
    part[lid] = most;
    SYNC();
    if (lane == 0 && j < blocks) {
      for (uint i = 1; i < 8; ++i) {
        most = larger_of(most, part[lid + i]);
      }
      scale[j] = bits_of(float_of(most) / 127.0f);
    }
    largest = larger_of(largest, most);
    SYNC();
  }
  part[lid] = largest;
  SYNC();
  for (uint n = 128; n > 0; n >>= 1) {
    if (lid < n) {
      part[lid] = larger_of(part[lid], part[lid + n]);
    }
    SYNC();
  }
  largest = part[0];
  SYNC();
  if (largest >= INFINITY_BITS) {
    if (lid == 0) {
      report(failed, row, where);
    }
    largest = 0;
  }
  const uint none = largest == 0;
  // fl(x / 127) and fl(x / 63) are monotonic: the largest scale is that of the largest element.
  const float s_most = float_of(largest) / 127.0f;
  const float g_most = a256 ? s_most / 63.0f : s_most;
  int exponent = (int)(bits_of(g_most) >> 23) - 127 - 11; // of subnormals it is below the bound
  exponent = exponent < -100 ? -100 : exponent;
  const float unit = float_of((uint)(exponent + 127) << 23);
  if (lid == 0) {
    u[out] = unit;
  }
  for (uint b = lid; b < scales; b += 256) {
    uint most = scale[b * per];
    for (uint j = 1; j < per; ++j) {
      most = larger_of(most, scale[b * per + j]);
    }
    const float s = none ? 0.0f : float_of(most);
    const float g = a256 ? s / 63.0f : s;
    const int kk = clamp_to(ceil32(g / unit), 1, 4095);
    kb[b] = kk;
    k[(size_t)out * scales + b] = kk;
  }
  SYNC();
  for (uint base = 0; base < blocks; base += 32) {
    const uint j = base + slot;
    int mj = 1, total = 0;
    if (j < blocks) {
      const float ku = (float)kb[j / per] * unit;
      mj = a256 ? clamp_to(ceil32((none ? 0.0f : float_of(scale[j])) / ku), 1, 63) : 1;
      const float step = (float)mj * ku;
      float4 v = in[j * 8 + lane];
      if (none) {
        v = (float4)(0.0f);
      }
      const int a = clamp_to(rint32(v.x / step), -127, 127);
      const int b = clamp_to(rint32(v.y / step), -127, 127);
      const int c = clamp_to(rint32(v.z / step), -127, 127);
      const int d = clamp_to(rint32(v.w / step), -127, 127);
      q[(size_t)out * (cols / 4) + j * 8 + lane] = ((uint)a & 255u) | ((uint)b & 255u) << 8 |
                                                   ((uint)c & 255u) << 16 | ((uint)d & 255u) << 24;
      total = a + b + c + d;
    }
    part[lid] = (uint)total;
    SYNC();
    if (lane == 0 && j < blocks) {
      for (uint i = 1; i < 8; ++i) {
        total += (int)part[lid + i];
      }
      m[(size_t)out * blocks + j] = mj;
      sum[(size_t)out * blocks + j] = mj * total;
    }
    SYNC();
  }
}

// What quantising row r of x into row r left of it: fma(-q_i, d_i, x_i). A work-item has four
// elements; y of the grid is the row.
KERNEL(256)
second_term(__global const float* x, uint cols, uint a256, __global const uint* q,
            __global const int* k, __global const int* m, __global const float* u,
            __global float* rest) {
  const uint i = GROUP_X * 256 + LID, row = GROUP_Y, blocks = cols / 32;
  if (i < cols / 4) {
    const uint j = i / 8, scales = a256 ? cols / 256 : blocks;
    const float ku = (float)k[(size_t)row * scales + (a256 ? j / 8 : j)] * u[row];
    const float step = (float)m[(size_t)row * blocks + j] * ku;
    const uint v = q[(size_t)row * (cols / 4) + i];
    for (uint e = 0; e < 4; ++e) {
      const int qi = (int)(v << (24 - 8 * e)) >> 24;
      const size_t at = (size_t)row * cols + i * 4 + e;
      rest[at] = fma32(-(float)qi, step, x[at]);
    }
  }
}
