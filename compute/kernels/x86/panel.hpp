#pragma once

#include "compute/base/kernels_ask.hpp"
#include "compute/kernels/x86/kernels.hpp"

/// Loops around the inner kernels, the same for both instruction sets. `Format` is always a type of
/// an anonymous namespace, so each instantiation is private to its file.
namespace ovir::compute::x86 {

/// Elements of a row unpacked at once: 16 rows of bytes are 16 KiB, half of a common L1.
inline constexpr std::uint32_t panel_cols = 1024;
/// Up to this many tokens are computed straight from the file's bytes, a row at a time: memory is
/// then the limit, and unpacking would not pay.
inline constexpr std::uint32_t row_tokens_max = 4;
/// Rows of a panel, of packed weights (packed_weights.hpp) and of others.
inline constexpr std::uint32_t panel_rows = 16;

/// A panel of packed weights. Tiles with `asks` ask for the weights some way ahead: with several
/// tokens the processor computes too long between two loads to do that itself.
struct packed_panel {
  const unsigned char* data;
  ask_into asks;
};

/// Tiles are functions of their own: GCC would otherwise put several into one, which then has more
/// live registers than there are and was a third slower.
template <class Format, int Tokens>
__attribute__((noinline)) void run_tile(const typename Format::panel& panel, const batch_view& x,
                                        std::uint32_t token, std::uint32_t col, std::uint32_t cols,
                                        typename Format::sum* sums) {
  Format::template tile<Tokens>(panel, x, token, col, cols, sums);
}

/// The same with packed weights as they are.
template <class Format, int Tokens, ask_into Asks>
__attribute__((noinline)) void run_direct(const packed_panel& panel, const batch_view& x,
                                          std::uint32_t token, std::uint32_t col,
                                          std::uint32_t cols, typename Format::sum* sums) {
  Format::template direct<Tokens, Asks>(panel, x, token, col, cols, sums);
}

/// Writes rows [low, high) of a panel and one token to place `at` of the output: sums rounded, or
/// as they are where the batch has room for these.
template <class Format>
inline void store_token(const typename Format::sum& s, const batch_view& x, std::uint32_t token,
                        std::size_t at, float* y, std::uint32_t low, std::uint32_t high) {
  if (x.sums != nullptr) {
    Format::store_exact(s, x.sums + at, low, high);
  } else {
    Format::store(s, x.u[token] * 0x1p-24F, y + at, low, high);
  }
}

/// The part of a panel that will be unpacked next: `row_bytes` of each row, rows `stride` apart.
struct panel_bytes {
  const unsigned char* data;
  std::size_t stride;
  std::size_t row_bytes;
  std::uint32_t rows;
};

/// Asks for rows [first, last) of a panel, into the second-level cache: the first is the tiles'.
template <class Format>
void prefetch_rows(const panel_bytes& next, std::uint32_t first, std::uint32_t last) {
  for (std::uint32_t r = first; r < last; ++r) {
    const unsigned char* row = next.data + r * next.stride;
    for (std::size_t i = 0; i < next.row_bytes; i += 64) {
      __builtin_prefetch(row + i, 0, 2);
    }
  }
}

/// What tiles of tokens [token, token + count) need of activations in a form of the format's own,
/// made once for all rows. Some formats need nothing.
template <class Format>
void prepare(const batch_view& x, std::uint32_t token, std::uint32_t count) {
  if constexpr (requires { Format::prepare(x, token, count); }) {
    if (!x.is_prepared) {
      Format::prepare(x, token, count);
    }
  }
}

/// Runs Format::tile over all `count` tokens from `token` on, in the widest tiles that fit. Between
/// tiles it asks for the weights needed next, so that unpacking them does not wait for memory.
template <class Format>
void panel_tiles(const typename Format::panel& panel, const batch_view& x, std::uint32_t token,
                 std::uint32_t count, std::uint32_t col, std::uint32_t cols,
                 typename Format::sum* sums, const panel_bytes& next) {
  std::uint32_t t = 0;
  std::uint32_t asked = 0;
  for (; t + Format::tile_tokens <= count; t += Format::tile_tokens) {
    const std::uint32_t upto = next.rows * (t + Format::tile_tokens) / count;
    prefetch_rows<Format>(next, asked, upto);
    asked = upto;
    run_tile<Format, Format::tile_tokens>(panel, x, token + t, col, cols, sums + t);
  }
  prefetch_rows<Format>(next, asked, next.rows);
  for (; t + 2 <= count; t += 2) {
    run_tile<Format, 2>(panel, x, token + t, col, cols, sums + t);
  }
  for (; t < count; ++t) {
    run_tile<Format, 1>(panel, x, token + t, col, cols, sums + t);
  }
}

/// What follows columns [.., col) of the panel at `row`: more of its columns, or the next panel's.
template <class Format>
panel_bytes after(const matrix_view& w, std::uint32_t row, std::uint32_t last, std::uint32_t col) {
  if (col == w.cols) {
    col = 0;
    row += panel_rows;
  }
  if (row >= last) {
    return {w.data, 0, 0, 0};
  }
  const std::uint32_t cols = w.cols - col < panel_cols ? w.cols - col : panel_cols;
  const std::size_t begin = w.row_bytes * col / w.cols; // whole blocks, so this is exact
  return {w.data + row * w.row_bytes + begin, w.row_bytes, w.row_bytes * cols / w.cols,
          last - row < panel_rows ? last - row : panel_rows};
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
    prepare<Format>(x, token, count);
    for (std::uint32_t row = first; row < last; row += panel_rows) {
      const std::uint32_t rows = last - row < panel_rows ? last - row : panel_rows;
      for (std::uint32_t t = 0; t < count; ++t) {
        Format::clear(sums[t]);
      }
      const unsigned char* data = w.data + row * w.row_bytes;
      for (std::uint32_t col = 0; col < w.cols; col += panel_cols) {
        const std::uint32_t cols = w.cols - col < panel_cols ? w.cols - col : panel_cols;
        Format::unpack(data, w.row_bytes, rows, col, cols, panel);
        if (col + cols == w.cols && x.sums == nullptr) {
          for (std::uint32_t t = 0; t < count; ++t) {
            __builtin_prefetch(y + (token + t) * y_stride + row, 1, 2);
          }
        }
        panel_tiles<Format>(panel, x, token, count, col, cols, sums,
                            after<Format>(w, row, last, col + cols));
      }
      for (std::uint32_t t = 0; t < count; ++t) {
        store_token<Format>(sums[t], x, token + t, (token + t) * y_stride + row, y, 0, rows);
      }
    }
  }
}

/// Whether one token asks for weights of this format soon, where the processor's policy has that.
template <class Format>
inline constexpr bool asks_soon_alone = requires {
  requires Format::asks_soon_alone;
};

/// Where the tiles of `count` tokens ask.
template <class Format>
ask_into asks_for(const ask_policy& policy, std::uint32_t count) {
  if (count < policy.from) {
    return ask_into::nothing;
  }
  return asks_soon_alone<Format> && policy.soon_alone && count == 1 ? ask_into::first_level_soon
                                                                    : policy.integers;
}

/// Runs Format::direct, which reads packed weights as they are. Only the first tile asks for
/// weights: the others find them.
template <class Format, int Tokens>
void direct_tile(packed_panel& panel, const batch_view& x, std::uint32_t token, std::uint32_t col,
                 std::uint32_t cols, typename Format::sum* sums) {
  // Others never ask soon, and would be compiled once more for nothing.
  constexpr ask_into soon =
      Tokens == 1 && asks_soon_alone<Format> ? ask_into::first_level_soon : ask_into::first_level;
  switch (panel.asks) {
  case ask_into::nothing:
    run_direct<Format, Tokens, ask_into::nothing>(panel, x, token, col, cols, sums);
    break;
  case ask_into::first_level:
    run_direct<Format, Tokens, ask_into::first_level>(panel, x, token, col, cols, sums);
    break;
  case ask_into::second_level:
    run_direct<Format, Tokens, ask_into::second_level>(panel, x, token, col, cols, sums);
    break;
  case ask_into::first_level_soon:
    run_direct<Format, Tokens, soon>(panel, x, token, col, cols, sums);
    break;
  }
  panel.asks = ask_into::nothing;
}

/// `count` tokens, at most `Tokens`, in one tile: each tile reads the weights.
template <class Format, int Tokens>
void direct_rest(packed_panel& panel, const batch_view& x, std::uint32_t token, std::uint32_t count,
                 std::uint32_t col, std::uint32_t cols, typename Format::sum* sums) {
  if constexpr (Tokens > 0) {
    if (count == Tokens) {
      direct_tile<Format, Tokens>(panel, x, token, col, cols, sums);
    } else {
      direct_rest<Format, Tokens - 1>(panel, x, token, count, col, cols, sums);
    }
  }
}

/// `count` tokens, in the widest tiles that fit and one for the rest.
template <class Format>
void direct_tiles(packed_panel panel, const batch_view& x, std::uint32_t token, std::uint32_t count,
                  std::uint32_t col, std::uint32_t cols, typename Format::sum* sums) {
  std::uint32_t t = 0;
  for (; t + Format::tile_tokens <= count; t += Format::tile_tokens) {
    direct_tile<Format, Format::tile_tokens>(panel, x, token + t, col, cols, sums + t);
  }
  direct_rest<Format, Format::tile_tokens - 1>(panel, x, token + t, count - t, col, cols, sums + t);
}

/// Writes rows [first, last) of a panel of packed weights that begins at `row`.
template <class Format>
void store_packed(const typename Format::sum* sums, const batch_view& x, std::uint32_t token,
                  std::uint32_t count, std::uint32_t row, std::uint32_t first, std::uint32_t last,
                  float* y, std::size_t y_stride) {
  const std::uint32_t low = row < first ? first - row : 0;
  const std::uint32_t high = last - row < panel_rows ? last - row : panel_rows;
  for (std::uint32_t t = 0; t < count; ++t) {
    store_token<Format>(sums[t], x, token + t, (token + t) * y_stride + row, y, low, high);
  }
}

/// Columns [col, col + cols) of a panel of packed weights times `count` tokens.
template <class Format>
void packed_tiles(const packed_panel& packed, const batch_view& x, std::uint32_t token,
                  std::uint32_t count, std::uint32_t col, std::uint32_t cols,
                  typename Format::sum* sums) {
  if constexpr (Format::packed_tokens_max != 0) {
    if (count > Format::packed_tokens_max) {
      alignas(64) typename Format::panel panel;
      Format::unpack_packed(packed, col, cols, panel);
      panel_tiles<Format>(panel, x, token, count, col, cols, sums, {});
      return;
    }
  }
  direct_tiles<Format>(packed, x, token, count, col, cols, sums);
}

/// Any number of tokens with packed weights. Columns are cut only where weights are unpacked first:
/// sums that stay in registers for a whole row are worth more than the first-level cache.
template <class Format>
void product_packed(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                    const batch_view& x, float* y, std::size_t y_stride) {
  alignas(64) typename Format::sum sums[panel_tokens];
  for (std::uint32_t token = 0; token < x.tokens; token += panel_tokens) {
    const std::uint32_t left = x.tokens - token;
    const std::uint32_t count = left < panel_tokens ? left : panel_tokens;
    const bool unpacks = Format::packed_tokens_max != 0 && count > Format::packed_tokens_max;
    const std::uint32_t step = unpacks && panel_cols < w.cols ? panel_cols : w.cols;
    const ask_into asks = asks_for<Format>(w.asks, count);
    prepare<Format>(x, token, count);
    for (std::uint32_t row = first - first % panel_rows; row < last; row += panel_rows) {
      for (std::uint32_t t = 0; t < count; ++t) {
        Format::clear(sums[t]);
      }
      const unsigned char* data = w.packed + row / panel_rows * w.panel_bytes;
      for (std::uint32_t col = 0; col < w.cols; col += step) {
        const std::uint32_t cols = w.cols - col < step ? w.cols - col : step;
        packed_tiles<Format>({data, asks}, x, token, count, col, cols, sums);
      }
      store_packed<Format>(sums, x, token, count, row, first, last, y, y_stride);
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
      if (x.sums != nullptr) {
        x.sums[index * y_stride + row] = sums[t];
      } else {
        // One conversion, one rounding; the power of two is exact.
        y[index * y_stride + row] = static_cast<float>(sums[t]) * (x.u[index] * 0x1p-24F);
      }
    }
  }
}

template <class Format>
void product_of(const matrix_view& w, std::uint32_t first, std::uint32_t last, const batch_view& x,
                float* y, std::size_t y_stride) {
  if (w.packed != nullptr) {
    return product_packed<Format>(w, first, last, x, y, y_stride);
  }
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
