// The product of packed Q5_K on AVX-512 VNNI: that of Q4_K with weights of one bit more.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx512/exact_sums.hpp"
#include "compute/kernels/x86/avx512/q4_k.hpp"

namespace ovir::compute::avx512 {

namespace {

/// Bit `bit` of every byte of `lines` to bit 4.
__attribute__((always_inline)) inline __m512i fifth_bits(__m512i lines, int bit) {
  __m512i moved;
  switch (bit) {
  case 0: moved = _mm512_slli_epi16(lines, 4); break;
  case 1: moved = _mm512_slli_epi16(lines, 3); break;
  case 2: moved = _mm512_slli_epi16(lines, 2); break;
  case 3: moved = _mm512_slli_epi16(lines, 1); break;
  case 4: moved = lines; break;
  case 5: moved = _mm512_srli_epi16(lines, 1); break;
  case 6: moved = _mm512_srli_epi16(lines, 2); break;
  default: moved = _mm512_srli_epi16(lines, 3); break;
  }
  return _mm512_and_si512(moved, _mm512_set1_epi8(16));
}

/// A superblock of packed weights (packed_superblocks.hpp).
template <x86::ask_into Asks>
struct packed_fives {
  static constexpr bool weights_are_narrow = false; ///< they go up to 31
  static constexpr int odd_shift = 0;
  static constexpr int pairs_at_once = 2; ///< |sum of 4 sc_j m_j dot_j| <= 2,000,121,984
  static constexpr std::size_t bytes = layout::q5_k_panel::bytes;
  static constexpr std::size_t scales_at = layout::q5_k_panel::scales;
  static constexpr std::size_t weights_at = layout::q5_k_panel::weights;
  static constexpr std::size_t pair_bytes = layout::q5_k_panel::pair_bytes;

  const unsigned char* data;

  [[nodiscard]] __attribute__((always_inline)) inline __m512i weights(int pair, int side,
                                                                      int i) const {
    const unsigned char* lines = data + weights_at + static_cast<std::size_t>(pair) * pair_bytes;
    const unsigned char* fifths = lines + static_cast<std::size_t>(i / 4) * 64;
    const unsigned char* nibbles = lines + static_cast<std::size_t>(2 + i) * 64;
    if (side == 0) {
      x86::ask_beyond<Asks>(nibbles);
      if (i % 4 == 0) {
        x86::ask_beyond<Asks>(fifths);
      }
    }
    const __m512i both = _mm512_loadu_si512(nibbles);
    const __m512i four =
        _mm512_and_si512(side == 0 ? both : _mm512_srli_epi16(both, 4), _mm512_set1_epi8(15));
    return _mm512_or_si512(four, fifth_bits(_mm512_loadu_si512(fifths), 4 * side + i % 4));
  }
  __attribute__((always_inline)) inline void load(superblock_head& out) const {
    x86::ask_beyond_lines<Asks, weights_at / 64>(data);
    out.d = load_scales(data);
    out.dmin = load_scales(data + 32);
    const unsigned char* at = data + scales_at;
    out.set_scales(load_line(at, 0), load_line(at, 1), load_line(at, 2));
  }
};

using q5_k = superblock_format<packed_fives, exact_sums>;

} // namespace

void product_q5_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_packed<q5_k>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx512

#endif
