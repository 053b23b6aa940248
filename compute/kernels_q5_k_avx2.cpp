// The product of packed Q5_K on AVX2: that of Q4_K with weights of one bit more.
#if defined(__x86_64__)

#include "compute/kernels_q4_k_avx2.hpp"

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

/// Weights as bytes, [element / 4][row][4].
struct unpacked_fives {
  static constexpr int pairs_at_once = 2; ///< |sum of 4 sc_j m_j dot_j| <= 2,000,121,984
  static constexpr int sums_at_once = 4;  ///< of at most 31 * 127 * 2

  __m256i w[superblock / 4];
  superblock_head head;

  [[nodiscard]] inline __m256i weights(int pair, int side, int i) const {
    return w[pair * 16 + side * 8 + i];
  }
};

/// A superblock of packed weights (packed_superblocks.hpp).
template <x86::ask_into Asks>
struct packed_fives {
  static constexpr int pairs_at_once = unpacked_fives::pairs_at_once;
  static constexpr int sums_at_once = unpacked_fives::sums_at_once;
  static constexpr std::size_t bytes = 2816;
  static constexpr std::size_t weights_at = 256;
  static constexpr std::size_t pair_bytes = 640;

  const unsigned char* data;
  std::size_t first_row;

  [[nodiscard]] __attribute__((always_inline)) inline __m256i weights(int pair, int side,
                                                                      int i) const {
    const unsigned char* first = data + weights_at + static_cast<std::size_t>(pair) * pair_bytes;
    const unsigned char* fifths = first + static_cast<std::size_t>(i / 4) * 64;
    const unsigned char* nibbles = first + static_cast<std::size_t>(2 + i) * 64;
    if (side == 0) {
      x86::ask_beyond<Asks>(nibbles);
      if (i % 4 == 0) {
        x86::ask_beyond<Asks>(fifths);
      }
    }
    const __m256i both = load_32(nibbles + 4 * first_row);
    const __m256i four =
        _mm256_and_si256(side == 0 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
    return _mm256_or_si256(four, fifth_bits(load_32(fifths + 4 * first_row), 4 * side + i % 4));
  }
};

struct q5_k : panel_format {
  struct panel {
    unpacked_fives blocks[superblocks_max];
  };

  template <x86::ask_into Asks>
  static packed_fives<Asks> packed_at(const x86::packed_panel& from, std::uint32_t index) {
    return {from.data + std::size_t{index} * packed_fives<Asks>::bytes, from.first_row};
  }

  static void unpack_packed(const x86::packed_panel& from, std::uint32_t col, std::uint32_t cols,
                            panel& out) {
    for (std::uint32_t b = 0; b < cols / superblock; ++b) {
      constexpr auto nothing = x86::ask_into::nothing;
      const packed_fives<nothing> block = packed_at<nothing>(from, col / superblock + b);
      load_head<nothing>(block.data, block.first_row, out.blocks[b].head);
      for (int pair = 0; pair < 4; ++pair) {
#pragma GCC unroll 8
        for (int i = 0; i < 8; ++i) {
          out.blocks[b].w[pair * 16 + i] = block.weights(pair, 0, i);
          out.blocks[b].w[pair * 16 + 8 + i] = block.weights(pair, 1, i);
        }
      }
    }
  }

  template <int Tokens>
  static void tile(const panel& p, const x86::batch_view& x, std::uint32_t token, std::uint32_t col,
                   std::uint32_t cols, sum* sums) {
    const auto at = [&](std::uint32_t b, const auto& run) { run(p.blocks[b], p.blocks[b].head); };
    superblock_tiles<Tokens>(at, x, token, col, cols / superblock, sums);
  }

  template <int Tokens, x86::ask_into Asks>
  static void direct(const x86::packed_panel& p, const x86::batch_view& x, std::uint32_t token,
                     std::uint32_t col, std::uint32_t cols, sum* sums) {
    const auto at = [&](std::uint32_t b, const auto& run) {
      const packed_fives<Asks> block = packed_at<Asks>(p, col / superblock + b);
      superblock_head head;
      load_head<Asks>(block.data, block.first_row, head);
      run(block, head);
    };
    superblock_tiles<Tokens>(at, x, token, col, cols / superblock, sums);
  }
};

} // namespace

void product_q5_k(const x86::matrix_view& w, std::uint32_t first, std::uint32_t last,
                  const x86::batch_view& x, float* y, std::size_t y_stride) {
  x86::product_packed<q5_k>(w, first, last, x, y, y_stride);
}

} // namespace ovir::compute::avx2

#endif
