// What differs between compilers, and the arithmetic of exact-1 that C does not have
// (docs/formats/exact-1.md). The parts of this folder are one program, in the order of
// compute/devices/kernel_source.cpp, behind the constants of layouts that it writes.
//
// What keeps the bits: contraction is off by this pragma and by the compilers' own options; fma
// only where exact-1 writes it; true division and square root; integers become floats in one
// conversion; maxima over bit patterns. A name of an OpenCL function cannot be a kernel's. No
// work-item returns before a barrier: PoCL 3.1 then writes anywhere.
#pragma OPENCL FP_CONTRACT OFF

#if defined(__NVPTX__)
#define LID ((uint)__nvvm_read_ptx_sreg_tid_x())
#define GROUP_X ((uint)__nvvm_read_ptx_sreg_ctaid_x())
#define GROUP_Y ((uint)__nvvm_read_ptx_sreg_ctaid_y())
#define GROUP_Z ((uint)__nvvm_read_ptx_sreg_ctaid_z())
#define SYNC() __nvvm_bar_sync(0)
#define SYNC_GLOBAL() __nvvm_bar_sync(0)
#define fma32(a, b, c) __builtin_fmaf(a, b, c)
#define sqrt32(a) __nvvm_sqrt_rn_f(a)
#define ceil32(a) __builtin_ceilf(a)
#define rint32(a) __builtin_rintf(a)
#define float_of_long(a) ((float)(a))
static inline uint bits_of(float f) {
  union {
    float f;
    uint u;
  } v;
  v.f = f;
  return v.u;
}
static inline float float_of(uint u) {
  union {
    float f;
    uint u;
  } v;
  v.u = u;
  return v.f;
}
#else
#define LID ((uint)get_local_id(0))
#define GROUP_X ((uint)get_group_id(0))
#define GROUP_Y ((uint)get_group_id(1))
#define GROUP_Z ((uint)get_group_id(2))
#define SYNC() barrier(CLK_LOCAL_MEM_FENCE)
#define SYNC_GLOBAL() barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE)
#define fma32(a, b, c) fma((float)(a), (float)(b), (float)(c))
#define sqrt32(a) sqrt((float)(a))
#define ceil32(a) ceil((float)(a))
#define rint32(a) rint((float)(a))
#define float_of_long(a) convert_float_rte(a)
#define bits_of(f) as_uint(f)
#define float_of(u) as_float(u)
#endif

// Kernels of groups of n work-items in one dimension.
#define KERNEL(n) __kernel __attribute__((reqd_work_group_size(n, 1, 1))) void
#define ALWAYS_INLINE __attribute__((always_inline)) static inline

#define INFINITY_BITS 0x7F800000u
#define MAGNITUDE_BITS 0x7FFFFFFFu
#define larger_of(a, b) ((a) > (b) ? (a) : (b))
#define smaller_of(a, b) ((a) < (b) ? (a) : (b))

// c + the sum over four bytes of a * b: a unsigned (dot4u) or signed (dot4s), b signed.
#if defined(__NVPTX__)
static inline int dot4u(uint a, uint b, int c) {
  int d;
  __asm__("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
static inline int dot4s(uint a, uint b, int c) {
  int d;
  __asm__("dp4a.s32.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
  return d;
}
#elif defined(cl_khr_integer_dot_product)
static inline int dot4u(uint a, uint b, int c) { return dot_4x8packed_us_int(a, b) + c; }
static inline int dot4s(uint a, uint b, int c) { return dot_4x8packed_ss_int(a, b) + c; }
#else
#define signed_byte(v, n) ((int)((v) << (24 - 8 * (n))) >> 24)
static inline int dot4u(uint a, uint b, int c) {
  return c + (int)(a & 255u) * signed_byte(b, 0) + (int)(a >> 8 & 255u) * signed_byte(b, 1) +
         (int)(a >> 16 & 255u) * signed_byte(b, 2) + (int)(a >> 24) * signed_byte(b, 3);
}
static inline int dot4s(uint a, uint b, int c) {
  return c + signed_byte(a, 0) * signed_byte(b, 0) + signed_byte(a, 1) * signed_byte(b, 1) +
         signed_byte(a, 2) * signed_byte(b, 2) + signed_byte(a, 3) * signed_byte(b, 3);
}
#endif

// fp16 bits to binary32, exactly.
static inline float half_to_float(uint h) {
  const uint magnitude = (h & 0x7FFFu) << 13, sign = (h & 0x8000u) << 16;
  if (magnitude >= 0x0F800000u) { // an infinity or a NaN
    return float_of(magnitude | INFINITY_BITS | sign);
  }
  return float_of(bits_of(float_of(magnitude) * 0x1p+112f) | sign);
}

// The nearest fp16, ties to even; overflow gives an infinity.
static inline uint float_to_half(float f) {
  const uint bits = bits_of(f), sign = bits >> 16 & 0x8000u, magnitude = bits & MAGNITUDE_BITS;
  uint out;
  if (magnitude > INFINITY_BITS) {
    out = 0x7E00u | (magnitude >> 13 & 0x03FFu);
  } else if (magnitude >= 0x477FF000u) {
    out = 0x7C00u;
  } else if (magnitude >= 0x38800000u) {
    out = (magnitude - 0x38000000u + 0x0FFFu + (magnitude >> 13 & 1u)) >> 13;
  } else {
    out = bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f);
  }
  return out | sign;
}

// A finite fp16 as its multiple of 2^-24. Of weights that are not wide it is below 2^31.
static inline int fixed24(uint h) {
  const int e = (int)(h >> 10 & 31u), f = (int)(h & 1023u);
  const int magnitude = e == 0 ? f : (f | 1024) << (e - 1);
  return (h & 0x8000u) != 0 ? -magnitude : magnitude;
}

// S rounded once to binary32, times a power of two.
static inline float rounded(long s, float power) { return float_of_long(s) * power; }

// Sums 16 neighbouring lanes as exact-1 folds a striped sum; every lane of the 16 gets it. `room`
// has a float for each work-item. Every work-item of the group comes here.
static inline float fold16(float v, __local float* room, uint lid) {
  room[lid] = v;
  for (uint half_of = 8; half_of > 0; half_of >>= 1) {
    SYNC();
    if ((lid & 15u) < half_of) {
      room[lid] += room[lid + half_of];
    }
  }
  SYNC();
  const float sum = room[lid & ~15u];
  SYNC();
  return sum;
}

static inline int clamp_to(float v, int low, int high) {
  return v <= (float)low ? low : v >= (float)high ? high : (int)v;
}

// The first failure of a row stays, in what the host filled with ones.
static inline void report(__global uint* failed, uint row, uint where) {
#if defined(__NVPTX__)
  __asm__ volatile("red.global.min.u32 [%0], %1;" ::"l"(failed + row), "r"(where) : "memory");
#else
  atomic_min((volatile __global uint*)(failed + row), where);
#endif
}

// ---- elementary functions (exact-1, section 5) ----

static inline float exact_exp(float x) {
  const float above = x > -0x1.ap+6f ? x : -0x1.ap+6f;
  const float c = above < 0x1.633334p+6f ? above : 0x1.633334p+6f;
  const float z = c * 0x1.715476p+0f;
  const float n = (z + 0x1.8p+23f) - 0x1.8p+23f;
  float r = fma32(n, -0x1.62e4p-1f, c);
  r = fma32(n, -0x1.7f7d1cp-20f, r);
  float p = 0x1.6a241ap-10f;
  p = fma32(p, r, 0x1.1239f2p-7f);
  p = fma32(p, r, 0x1.5558f2p-5f);
  p = fma32(p, r, 0x1.555492p-3f);
  p = fma32(p, r, 0x1.fffffcp-2f);
  p = fma32(p, r, 0x1p+0f);
  p = fma32(p, r, 0x1p+0f);
  const int whole = (int)n, half_of = whole >> 1;
  const float low = p * float_of((uint)(half_of + 127) << 23);
  const float y = low * float_of((uint)(whole - half_of + 127) << 23);
  return x != x ? x : y;
}

static inline float exact_silu(float x) { return x / (1.0f + exact_exp(-x)); }

static inline float exact_tanh(float x) {
  const float t = exact_exp(-2.0f * float_of(bits_of(x) & MAGNITUDE_BITS));
  const float y = (1.0f - t) / (1.0f + t);
  return x != x ? x : float_of((bits_of(y) & MAGNITUDE_BITS) | (bits_of(x) & ~MAGNITUDE_BITS));
}

static inline float exact_soft_cap(float x, float cap) { return cap * exact_tanh(x / cap); }

static inline float exact_gelu(float x) {
  const float slope = 1.0f + (0x1.6e4e26p-5f * x) * x;
  const float t = exact_tanh((0x1.988454p-1f * x) * slope);
  return (0.5f * x) * (1.0f + t);
}
