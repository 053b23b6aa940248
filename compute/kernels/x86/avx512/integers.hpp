#pragma once

#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#include "compute/kernels/x86/panel.hpp"
#include "compute/kernels/x86/rows_256.hpp"
#include "compute/tensor/layouts.hpp"

/// What the AVX-512 integer products share: loads, the 16 x 16 transposition that puts rows into
/// lanes, sums of lanes. Everything is private to the including file (docs/adr/0002-kernels.md).
namespace ovir::compute::avx512 {
namespace {

using namespace x86;

constexpr std::uint32_t panel_rows = x86::panel_rows; ///< a register has a lane for each
constexpr int tile_tokens = 8;
/// Unpacking beside the multiplication costs nothing: other execution units do it.
constexpr std::uint32_t packed_tokens_max = 0;

/// What all formats of weights have in common.
template <class Sums>
struct panel_format {
  using sum = Sums;
  static constexpr int tile_tokens = avx512::tile_tokens;
  static constexpr std::uint32_t packed_tokens_max = avx512::packed_tokens_max;

  static void clear(sum& s) { s.clear(); }
  static void store(const sum& s, float power, float* y, std::uint32_t low, std::uint32_t high) {
    s.store(power, y, low, high);
  }
  static void store_exact(const sum& s, std::int64_t* to, std::uint32_t low, std::uint32_t high) {
    if constexpr (requires { s.store_exact(to, low, high); }) { // those of bench have no integers
      s.store_exact(to, low, high);
    }
  }
};

/// Keeps loads and what is asked for where they stand among the multiplications. GCC moves them to
/// the front of a loop, where they wait for each other (docs/performance/zen-5.md).
__attribute__((always_inline)) inline void keep_order() { asm volatile("" ::: "memory"); }

inline __m512i broadcast(const void* p) { return _mm512_set1_epi32(load_i32(p)); }

/// `sum` plus, in each lane, four bytes of `w` times the four of `q`. In assembly, because GCC 12
/// makes two instructions of it, and what executes beside the multiplications is what they wait
/// for.
inline __m512i add_products(__m512i sum, __m512i w, const std::int8_t* q) {
  using dword [[gnu::may_alias]] = std::int32_t;
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(w), "m"(*reinterpret_cast<const dword*>(q)));
  return sum;
}

/// The first n lanes, all 16 from n = 16 on.
inline __mmask16 first_lanes(std::uint32_t n) {
  return n < 16 ? static_cast<__mmask16>((1U << n) - 1U) : static_cast<__mmask16>(0xFFFF);
}

/// Each odd 32-bit lane moved to the even lane below, where vpmuldq reads.
using x86::odd;
inline __m512i odd(__m512i x) { return _mm512_srli_epi64(x, 32); }

/// Finite fp16 values as integer multiples of 2^-24; exact while they fit 32 bits.
inline __m512i fixed24(__m256i halves) {
  return _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_cvtph_ps(halves), _mm512_set1_ps(0x1p24F)));
}

/// The fp16 at `data` of up to 16 rows, as integer multiples of 2^-24.
inline __m512i row_scales(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows) {
  alignas(32) std::uint16_t halves[panel_rows] = {};
  for (std::uint32_t r = 0; r < rows; ++r) {
    halves[r] = load_u16(data + r * row_bytes);
  }
  return fixed24(load_32(halves));
}

/// Transposes 16 rows of 16 dwords.
inline void transpose(__m512i (&v)[16]) {
  __m512i a[16];
  __m512i b[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
    a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
    b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
    b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
    b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
  }
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i even_low = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x88);
    const __m512i even_high = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x88);
    const __m512i odd_low = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xDD);
    const __m512i odd_high = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xDD);
    v[c] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    v[4 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    v[8 + c] = _mm512_shuffle_i32x4(even_low, even_high, 0xDD);
    v[12 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xDD);
  }
}

/// Loads 64 bytes of each row and transposes: v[i] holds dword i of every row, lane = row.
inline void load_panel(const unsigned char* data, std::size_t row_bytes, std::uint32_t rows,
                       __m512i (&v)[16]) {
  for (std::uint32_t r = 0; r < panel_rows; ++r) {
    v[r] = r < rows ? _mm512_loadu_si512(data + r * row_bytes) : _mm512_setzero_si512();
  }
  transpose(v);
}

/// The sums of sixteen groups of 16 elements, group g at (g % 4) * 4 + g / 4. `fours(i)` has the
/// sums of four elements each from element 64 i on.
template <class Fours>
inline __m512i sums_of_groups(const Fours& fours) {
  const __m512i v[4] = {fours(0), fours(1), fours(2), fours(3)};
  // Adds the four dwords of each 128-bit lane, of four vectors at once.
  const __m512i first =
      _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
  const __m512i second =
      _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
  return _mm512_add_epi32(_mm512_unpacklo_epi64(first, second),
                          _mm512_unpackhi_epi64(first, second));
}

/// The sums of 16 q each of a superblock: group g at (g % 4) * 4 + g / 4.
inline __m512i group_sums(const std::int8_t* q) {
  return sums_of_groups([q](int i) {
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(1),
                               _mm512_loadu_si512(q + 64 * i));
  });
}

/// The same of the sizes |q|.
inline __m512i group_sizes(const std::int8_t* q) {
  return sums_of_groups([q](int i) {
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(),
                               _mm512_abs_epi8(_mm512_loadu_si512(q + 64 * i)),
                               _mm512_set1_epi8(1));
  });
}

using x86::sum_of_lanes;
inline std::int64_t sum_of_lanes(__m512i x) {
  return sum_of_lanes(_mm256_add_epi64(_mm512_castsi512_si256(x), _mm512_extracti64x4_epi64(x, 1)));
}

/// One dword of each of the sixteen rows of a packed panel.
inline __m512i load_line(const unsigned char* lines, std::uint32_t index) {
  return _mm512_loadu_si512(lines + std::size_t{index} * 64);
}

/// The fp16 of each of the sixteen rows.
inline __m512i load_scales(const unsigned char* halves) { return fixed24(load_32(halves)); }

/// What was prepared of a token's superblock at column `col`; the next token's is x.scales further.
template <class Terms>
inline const Terms* prepared_at(const x86::batch_view& x, std::uint32_t token, std::uint32_t col) {
  return reinterpret_cast<const Terms*>(x.prepared) +
         std::size_t{token % x86::panel_tokens} * x.scales + col / 256;
}

/// Prepares all superblocks of some tokens: `of(terms, i)` the i-th of the whole batch.
template <class Terms, class Of>
inline void prepare_superblocks(const x86::batch_view& x, std::uint32_t token, std::uint32_t count,
                                const Of& of) {
  static_assert(sizeof(Terms) <= x86::prepared_bytes);
  Terms* const out = reinterpret_cast<Terms*>(x.prepared);
  const std::size_t first = std::size_t{token} * x.scales;
  for (std::size_t i = 0; i < std::size_t{count} * x.scales; ++i) {
    of(out[i], first + i);
  }
}

} // namespace
} // namespace ovir::compute::avx512

#endif
