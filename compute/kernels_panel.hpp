#pragma once

#include "compute/kernels_x86.hpp"

/// Loops around the inner kernels, the same for both instruction sets. `Format` is always a type of
/// an anonymous namespace, so each instantiation is private to its file.
namespace ovir::compute::x86 {

/// Tokens whose sums are kept at once: 16 KiB of 64-bit sums for 16 rows.
inline constexpr std::uint32_t panel_tokens = 128;
/// Elements of a row unpacked at once: 16 rows of bytes are 16 KiB, half of a common L1.
inline constexpr std::uint32_t panel_cols = 1024;
/// Up to this many tokens are computed straight from the file's bytes, a row at a time: memory is
/// then the limit, and unpacking would not pay.
inline constexpr std::uint32_t row_tokens_max = 4;

/// Runs Format::tile over all `count` tokens from `token` on, in the widest tiles that fit.
template <class Format>
void panel_tiles(const typename Format::panel& panel, const batch_view& x, std::uint32_t token,
                 std::uint32_t count, std::uint32_t col, std::uint32_t cols,
                 typename Format::sum* sums) {
  std::uint32_t t = 0;
  for (; t + Format::tile_tokens <= count; t += Format::tile_tokens) {
    Format::template tile<Format::tile_tokens>(panel, x, token + t, col, cols, sums + t);
  }
  for (; t + 2 <= count; t += 2) {
    Format::template tile<2>(panel, x, token + t, col, cols, sums + t);
  }
  for (; t < count; ++t) {
    Format::template tile<1>(panel, x, token + t, col, cols, sums + t);
  }
}

/// Many tokens: rows are unpacked in panels, lane = row, and each panel meets every token. The
/// integer sums make the order and the chunking of columns irrelevant.
template <class Format>
void product_by_panels(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                       const batch_view& x, float* y, std::size_t y_stride) {
  alignas(64) typename Format::panel panel;
  alignas(64) typename Format::sum sums[panel_tokens];
  for (std::uint32_t token = 0; token < x.tokens; token += panel_tokens) {
    const std::uint32_t left = x.tokens - token;
    const std::uint32_t count = left < panel_tokens ? left : panel_tokens;
    for (std::uint32_t row = first; row < last; row += Format::panel_rows) {
      const std::uint32_t rows = last - row < Format::panel_rows ? last - row : Format::panel_rows;
      for (std::uint32_t t = 0; t < count; ++t) {
        Format::clear(sums[t]);
      }
      const unsigned char* data = w.data + row * w.row_bytes;
      for (std::uint32_t col = 0; col < w.cols; col += panel_cols) {
        const std::uint32_t cols = w.cols - col < panel_cols ? w.cols - col : panel_cols;
        Format::unpack(data, w.row_bytes, rows, col, cols, panel);
        panel_tiles<Format>(panel, x, token, count, col, cols, sums);
      }
      for (std::uint32_t t = 0; t < count; ++t) {
        Format::store(sums[t], x.u[token + t] * 0x1p-24F, y + (token + t) * y_stride + row, rows);
      }
    }
  }
}

template <class Format, int Tokens>
void product_by_rows(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                     const batch_view& x, std::uint32_t token, float* y, std::size_t y_stride) {
  for (std::uint32_t row = first; row < last; ++row) {
    std::int64_t sums[Tokens];
    Format::template row<Tokens>(w.data + row * w.row_bytes, x, token, sums);
    for (int t = 0; t < Tokens; ++t) {
      const std::size_t index = token + static_cast<std::size_t>(t);
      // One conversion, one rounding; the power of two is exact.
      y[index * y_stride + row] = static_cast<float>(sums[t]) * (x.u[index] * 0x1p-24F);
    }
  }
}

template <class Format>
void product_of(const matrix_view& w, std::uint32_t first, std::uint32_t last, const batch_view& x,
                float* y, std::size_t y_stride) {
  switch (x.tokens) {
  case 0: return;
  case 1: return product_by_rows<Format, 1>(w, first, last, x, 0, y, y_stride);
  case 2: return product_by_rows<Format, 2>(w, first, last, x, 0, y, y_stride);
  case 3: return product_by_rows<Format, 3>(w, first, last, x, 0, y, y_stride);
  case row_tokens_max: return product_by_rows<Format, 4>(w, first, last, x, 0, y, y_stride);
  default: return product_by_panels<Format>(w, first, last, x, y, y_stride);
  }
}

} // namespace ovir::compute::x86
