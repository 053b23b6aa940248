// What stands between the products of a layer (exact-1, section 4).

// y_i = (x_i * r) * w_i, a group of 256 per vector of n; 16 lanes of it have the striped sum. `y`
// may be `x`.
#define NORM_TILE 2048
KERNEL(256)
rms_norm(__global const float* x, __global const float* w, uint n, float epsilon,
         __global float* y) {
  __local float tile[NORM_TILE];
  __local float room[256];
  const uint lid = LID;
  x += (size_t)GROUP_X * n;
  y += (size_t)GROUP_X * n;
  float s = 0.0f;
  for (uint base = 0; base < n; base += NORM_TILE) {
    const uint here = smaller_of((uint)NORM_TILE, n - base);
    for (uint i = lid; i < here; i += 256) {
      tile[i] = x[base + i];
    }
    SYNC();
    if (lid < 16) {
      for (uint i = lid; i < here; i += 16) {
        s = fma32(tile[i], tile[i], s);
      }
    }
    SYNC();
  }
  const float ss = fold16(s, room, lid);
  if (lid == 0) {
    room[0] = 1.0f / sqrt32(ss / (float)n + epsilon);
  }
  SYNC();
  const float r = room[0];
  for (uint i = lid; i < n; i += 256) {
    y[i] = (x[i] * r) * w[i];
  }
}

// Rotates the heads of row GROUP_Y in place. cos_sin [position][pairs][2]; pairs of neighbours, or
// of halves. Elements beyond 2 * pairs stay.
KERNEL(64)
rope(__global float* x, uint heads, uint head_dim, uint pairs, uint halves,
     __global const float* cos_sin, __global const uint* position) {
  const uint i = GROUP_X * 64 + LID, row = GROUP_Y;
  if (i < heads * pairs) {
    const uint h = i / pairs, p = i % pairs;
    __global float* at = x + ((size_t)row * heads + h) * head_dim;
    __global const float* cs = cos_sin + ((size_t)position[row] * pairs + p) * 2;
    const uint first = halves ? p : 2 * p, second = halves ? p + pairs : 2 * p + 1;
    const float c = cs[0], s = cs[1], a = at[first], b = at[second];
    at[first] = a * c - b * s; // two products and a difference
    at[second] = a * s + b * c;
  }
}

// out_i = fl(f(gate_i) * up_i), i < n. `out` may be `gate`.
#define GATE(name, f)                                                                              \
  KERNEL(256)                                                                                      \
  name(__global const float* gate, __global const float* up, uint n, __global float* out) {        \
    const uint i = GROUP_X * 256 + LID;                                                            \
    if (i < n) {                                                                                   \
      out[i] = f(gate[i]) * up[i];                                                                 \
    }                                                                                              \
  }
GATE(swiglu, exact_silu)
GATE(geglu, exact_gelu)

// Row r of a [rows][n] plus row r of b; a NaN or infinity is reported.
KERNEL(256)
add_rows(__global float* a, __global const float* b, uint n, __global uint* failed, uint where) {
  const uint i = GROUP_X * 256 + LID, row = GROUP_Y;
  if (i < n) {
    const float sum = a[(size_t)row * n + i] + b[(size_t)row * n + i];
    a[(size_t)row * n + i] = sum;
    if ((bits_of(sum) & INFINITY_BITS) == INFINITY_BITS) {
      report(failed, row, where);
    }
  }
}

// Row r of a [rows][n] plus the vector b; likewise.
KERNEL(256)
add_bias(__global float* a, __global const float* b, uint n, __global uint* failed, uint where) {
  const uint i = GROUP_X * 256 + LID, row = GROUP_Y;
  if (i < n) {
    const float sum = a[(size_t)row * n + i] + b[i];
    a[(size_t)row * n + i] = sum;
    if ((bits_of(sum) & INFINITY_BITS) == INFINITY_BITS) {
      report(failed, row, where);
    }
  }
}

// y_i = fl(y_i + y_(n + i)): the products of first and of second terms.
KERNEL(256)
add_terms(__global float* y, uint n) {
  const uint i = GROUP_X * 256 + LID;
  if (i < n) {
    y[i] = y[i] + y[n + i];
  }
}

// x_i = fl(x_i * factor), i < n.
KERNEL(256)
scale_by(__global float* x, uint n, float factor) {
  const uint i = GROUP_X * 256 + LID;
  if (i < n) {
    x[i] = x[i] * factor;
  }
}

// Row first + r of `to` is row from[r] of x, n elements each.
KERNEL(256)
gather_rows(__global const float* x, __global const uint* from, uint n, __global float* to,
            uint first) {
  const uint i = GROUP_X * 256 + LID, row = GROUP_Y;
  if (i < n) {
    to[(size_t)(first + row) * n + i] = x[(size_t)from[row] * n + i];
  }
}

// The id of the highest logit of each row, ties to the lower id; -0 equals +0. A group of 256 per
// row of n. A NaN or infinity is reported.
KERNEL(256)
highest(__global const float* logits, uint n, __global uint* token, __global uint* failed,
        uint where) {
  __local float value[256];
  __local uint id[256];
  const uint lid = LID, row = GROUP_X;
  logits += (size_t)row * n;
  float best = float_of(0xFF800000u);
  uint at = 0xFFFFFFFFu, bad = 0;
  for (uint i = lid; i < n; i += 256) {
    const float v = logits[i];
    bad |= (bits_of(v) & INFINITY_BITS) == INFINITY_BITS;
    if (v > best || at == 0xFFFFFFFFu) {
      best = v;
      at = i;
    }
  }
  if (bad) {
    report(failed, row, where);
  }
  value[lid] = best;
  id[lid] = at;
  SYNC();
  for (uint m = 128; m > 0; m >>= 1) {
    if (lid < m) {
      const float v = value[lid + m];
      const uint i = id[lid + m];
      if (i != 0xFFFFFFFFu && (v > value[lid] || (v == value[lid] && i < id[lid]))) {
        value[lid] = v;
        id[lid] = i;
      }
    }
    SYNC();
  }
  if (lid == 0) {
    token[row] = id[0];
  }
}

// Operations of binary32 that everything rests on, for the gate (compute/devices/gate.cpp): a
// work-item has operation[i] of a[i], b[i] and c[i], bits as uint. Of 6 the operand is a and b as
// the halves of an int64.
KERNEL(64)
arithmetic(__global const uint* operation, __global const uint* a, __global const uint* b,
           __global const uint* c, __global uint* out, uint n) {
  const uint i = GROUP_X * 64 + LID;
  if (i < n) {
    const float x = float_of(a[i]), y = float_of(b[i]), z = float_of(c[i]);
    float r = 0.0f;
    switch (operation[i]) {
    case 0: r = x + y; break;
    case 1: r = x * y; break;
    case 2: r = x / y; break;
    case 3: r = sqrt32(x); break;
    case 4: r = fma32(x, y, z); break;
    case 5: r = x * y + z; break; // two roundings
    case 6: r = float_of_long((long)((ulong)b[i] << 32 | a[i])); break;
    case 7: r = half_to_float(a[i]); break;
    case 8: r = float_of(float_to_half(x)); break;
    case 9: r = rint32(x); break;
    case 10: r = ceil32(x); break;
    default: break;
    }
    out[i] = bits_of(r);
  }
}
