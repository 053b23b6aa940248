// The product of packed Q5_K on AVX2: that of Q4_K with weights of one bit more.
#if defined(__x86_64__)

#include "compute/kernels/x86/avx2/q4_k.hpp"

namespace ovir::compute::avx2 {

namespace {

/// Bit `bit` of every byte of `line` to bit 4.
__attribute__((always_inline)) inline __m256i fifth_bits(__m256i line, int bit) {
  __m256i moved;
  switch (bit) {
  case 0: moved = _mm256_slli_epi16(line, 4); break;
  case 1: moved = _mm256_slli_epi16(line, 3); break;
  case 2: moved = _mm256_slli_epi16(line, 2); break;
  case 3: moved = _mm256_slli_epi16(line, 1); break;
  case 4: moved = line; break;
  case 5: moved = _mm256_srli_epi16(line, 1); break;
  case 6: moved = _mm256_srli_epi16(line, 2); break;
  default: moved = _mm256_srli_epi16(line, 3); break;
  }
  return _mm256_and_si256(moved, _mm256_set1_epi8(16));
}

/// |sum of 4 sc_j m_j dot_j| <= 2,000,121,984, and four sums of at most 31 * 127 * 2 fit.
using unpacked_fives = unpacked_bytes<2, 4>;

/// A superblock of packed weights (packed_superblocks.hpp).
template <x86::ask_into Asks>
struct packed_fives {
  static constexpr int pairs_at_once = unpacked_fives::pairs_at_once;
  static constexpr int sums_at_once = unpacked_fives::sums_at_once;
  static constexpr std::size_t bytes = layout::q5_k_panel::bytes;
  static constexpr std::size_t weights_at = layout::q5_k_panel::weights;
  static constexpr std::size_t pair_bytes = layout::q5_k_panel::pair_bytes;

  const unsigned char* data;

  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int half, int pair, int side,
                                                                      int i) const {
    const unsigned char* first = data + weights_at + static_cast<std::size_t>(pair) * pair_bytes;
    const unsigned char* fifths = first + static_cast<std::size_t>(i / 4) * 64;
    const unsigned char* nibbles = first + static_cast<std::size_t>(2 + i) * 64;
    if (half == 0 && side == 0) {
      x86::ask_beyond<Asks>(nibbles);
      if (i % 4 == 0) {
        x86::ask_beyond<Asks>(fifths);
      }
    }
    const __m256i both = load_32(nibbles + 32 * half);
    const __m256i four =
        _mm256_and_si256(side == 0 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
    return _mm256_or_si256(four, fifth_bits(load_32(fifths + 32 * half), 4 * side + i % 4));
  }
};

struct q5_k : superblock_format<packed_fives, unpacked_fives> {
  /// Fewer than elsewhere: bits are put together from two lines, for each tile anew.
  static constexpr std::uint32_t packed_tokens_max = 4;
};

} // namespace

void product_q5_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_packed<q5_k>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx2

#endif
