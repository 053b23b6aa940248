#pragma once

#include "compute/kernels_ask.hpp"
#include "compute/kernels_floats.hpp"

/// Products with weights of floats, written once for both instruction sets (see
/// kernels_floats.hpp).
namespace ovir::compute::x86 {

/// Rows of a panel of packed weights, and of one of its groups (packed_weights.hpp).
inline constexpr std::uint32_t float_panel_rows = 16;
inline constexpr std::uint32_t float_group_rows = 4;

/// How Lanes reads the three float encodings.
template <class Lanes>
struct f32_element {
  static constexpr std::size_t bytes = 4;
  static Lanes load(const unsigned char* p) { return Lanes::load(p); }
  static auto load_part(const unsigned char* p, int i) { return Lanes::load_part(p, i); }
  static Lanes load_some(const unsigned char* p, std::uint32_t n) { return Lanes::load_some(p, n); }
};

template <class Lanes>
struct f16_element {
  static constexpr std::size_t bytes = 2;
  static Lanes load(const unsigned char* p) { return Lanes::load_half(p); }
  static auto load_part(const unsigned char* p, int i) { return Lanes::load_half_part(p, i); }
  static Lanes load_some(const unsigned char* p, std::uint32_t n) {
    return Lanes::load_half_some(p, n);
  }
};

template <class Lanes>
struct bf16_element {
  static constexpr std::size_t bytes = 2;
  static Lanes load(const unsigned char* p) { return Lanes::load_bfloat(p); }
  static auto load_part(const unsigned char* p, int i) { return Lanes::load_bfloat_part(p, i); }
  static Lanes load_some(const unsigned char* p, std::uint32_t n) {
    return Lanes::load_bfloat_some(p, n);
  }
};

/// Rows as the file has them; `step` bytes lie between sixteen columns and the next.
template <class Element>
struct rows_of_file {
  static constexpr std::size_t step = stripes * Element::bytes;

  const unsigned char* data;
  std::size_t row_bytes;

  [[nodiscard]] inline const unsigned char* row(int r) const {
    return data + static_cast<std::size_t>(r) * row_bytes;
  }
};

/// Rows of packed weights: groups of four, sixteen columns of each row side by side.
template <class Element>
struct rows_of_panel {
  static constexpr std::size_t step = float_group_rows * stripes * Element::bytes;

  const unsigned char* data;
  std::size_t group_bytes;

  [[nodiscard]] inline const unsigned char* row(int r) const {
    const auto index = static_cast<std::size_t>(r);
    return data + index / float_group_rows * group_bytes +
           index % float_group_rows * stripes * Element::bytes;
  }
};

/// Cache lines that tiles ask for while they compute, for whoever comes next. Little by little:
/// many at once would keep the tile's own loads waiting.
struct lines_ahead {
  static constexpr std::size_t line = 64;

  const unsigned char* next;
  const unsigned char* end;
  std::size_t of_tile;  ///< bytes
  std::size_t of_block; ///< bytes per `block_cols` columns of a tile
  ask_ahead_by beyond;  ///< instead, what lies beyond each load is asked for
};
inline constexpr std::uint32_t block_cols = 128;

/// Rows of a group whose sixteen columns share a cache line.
template <class Element>
inline constexpr int rows_of_line = static_cast<int>(lines_ahead::line /
                                                     (stripes * Element::bytes));

/// Adds the products of sixteen columns. With more than two tokens, lanes of two registers are
/// multiplied one register after the other: both of each x do not fit the registers beside the
/// sums.
template <class Lanes, class Element, int Rows, int Tokens, class Source>
__attribute__((always_inline)) inline void
multiply_columns(const Source& source, std::size_t at, const float* x, std::size_t x_stride,
                 ask_ahead_by beyond, typename Lanes::part (&s)[Tokens][Rows][Lanes::parts]) {
  using part = typename Lanes::part;
  constexpr int together = Tokens > 2 ? 1 : Lanes::parts;
#pragma GCC unroll 2
  for (int p = 0; p < Lanes::parts; p += together) {
    part v[Tokens][together];
#pragma GCC unroll 8
    for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 2
      for (int q = 0; q < together; ++q) {
        v[t][q] = Lanes::load_part(x + static_cast<std::size_t>(t) * x_stride, p + q);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const unsigned char* row = source.row(r) + at;
      if (p == 0 && r % rows_of_line<Element> == 0) {
        ask_beyond(beyond, row);
      }
#pragma GCC unroll 2
      for (int q = 0; q < together; ++q) {
        const part a = Element::load_part(row, p + q);
#pragma GCC unroll 8
        for (int t = 0; t < Tokens; ++t) {
          s[t][r][p + q] = Lanes::fma_part(a, v[t][q], s[t][r][p + q]);
        }
      }
    }
  }
}

/// `Rows` x `Tokens` striped sums; x is the first token's. A function of its own, like the tiles of
/// kernels_panel.hpp.
template <class Lanes, class Element, int Rows, int Tokens, class Source>
__attribute__((noinline)) void float_tile(const Source& source, std::uint32_t cols, const float* x,
                                          std::size_t x_stride, lines_ahead& ahead,
                                          float (&out)[Tokens][Rows]) {
  typename Lanes::part s[Tokens][Rows][Lanes::parts];
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < Lanes::parts; ++p) {
        s[t][r][p] = Lanes::zero_part();
      }
    }
  }
  const auto left_to_ask = static_cast<std::size_t>(ahead.end - ahead.next);
  const unsigned char* ask = ahead.next;
  const unsigned char* const asked =
      ask + (left_to_ask < ahead.of_tile ? left_to_ask : ahead.of_tile);
  ahead.next = asked;
  const ask_ahead_by beyond = ahead.beyond;
  const std::uint32_t whole = cols / stripes * stripes;
  std::size_t at = 0;
  for (std::uint32_t block = 0; block < whole; block += block_cols) {
    for (std::size_t n = 0; n < ahead.of_block && ask < asked; n += lines_ahead::line) {
      __builtin_prefetch(ask, 0, 2);
      ask += lines_ahead::line;
    }
    const std::uint32_t end = whole - block < block_cols ? whole : block + block_cols;
    for (std::uint32_t i = block; i < end; i += stripes, at += Source::step) {
      multiply_columns<Lanes, Element>(source, at, x + i, x_stride, beyond, s);
    }
  }
  Lanes sums[Tokens][Rows];
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      sums[t][r] = Lanes::of_parts(s[t][r]);
    }
  }
  if (const std::uint32_t left = cols - whole; left != 0) {
    for (int t = 0; t < Tokens; ++t) {
      const Lanes v = Lanes::load_some(x + static_cast<std::size_t>(t) * x_stride + whole, left);
      for (int r = 0; r < Rows; ++r) {
        const Lanes a = Element::load_some(source.row(r) + at, left);
        sums[t][r] = Lanes::fma_some(a, v, sums[t][r], left);
      }
    }
  }
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
    if constexpr (Rows % 4 == 0) {
#pragma GCC unroll 4
      for (int r = 0; r < Rows; r += 4) {
        Lanes::fold_four(sums[t] + r, out[t] + r);
      }
    } else {
      for (int r = 0; r < Rows; ++r) {
        out[t][r] = Lanes::fold(sums[t][r]);
      }
    }
  }
}

/// Rows [row, row + Rows) of the result, those within [first, last), of tokens from `token` on.
struct float_target {
  const float_batch& batch;
  std::uint32_t row;
  std::uint32_t first;
  std::uint32_t last;
  std::uint32_t token;
};

template <class Lanes, class Element, int Rows, int Tokens, class Source>
void float_tile_to(const float_target& to, const Source& source, std::uint32_t cols,
                   lines_ahead& ahead) {
  float out[Tokens][Rows];
  float_tile<Lanes, Element, Rows, Tokens>(source, cols, to.batch.x + to.token * to.batch.x_stride,
                                           to.batch.x_stride, ahead, out);
  for (std::uint32_t t = 0; t < Tokens; ++t) {
    float* y = to.batch.y + (to.token + t) * to.batch.y_stride;
    for (std::uint32_t r = 0; r < Rows; ++r) {
      if (to.row + r >= to.first && to.row + r < to.last) {
        y[to.row + r] = out[t][r];
      }
    }
  }
}

/// `run(token, count)` with count a compile-time constant: tiles of `Widest` tokens, of three, and
/// two twos rather than a three and a one.
template <int Count>
struct token_count {
  static constexpr int value = Count;
};
template <int Widest, class Run>
void for_token_tiles(std::uint32_t tokens, const Run& run) {
  std::uint32_t t = 0;
  while (t < tokens) {
    const std::uint32_t left = tokens - t;
    if (left >= Widest && (left != Widest + 1 || Widest < 3)) {
      run(t, token_count<Widest>{});
      t += Widest;
    } else if (Widest > 3 && left >= 3 && left != 4) {
      run(t, token_count<3>{});
      t += 3;
    } else if (left >= 2) {
      run(t, token_count<2>{});
      t += 2;
    } else {
      run(t, token_count<1>{});
      t += 1;
    }
  }
}

/// Tiles of `Rows` rows and `Widest` tokens.
template <class Lanes, class Element, int Rows, int Widest>
void float_panel(const matrix_view& w, std::uint32_t row, const float_target& range) {
  constexpr std::uint32_t parts = float_panel_rows / Rows;
  const std::uint32_t tokens = range.batch.tokens;
  const unsigned char* const data = w.packed + row / float_panel_rows * w.panel_bytes;
  const unsigned char* const next = data + w.panel_bytes;
  // One tile of tokens reads the weights once, from first to last.
  const bool once = tokens <= static_cast<std::uint32_t>(Widest);
  lines_ahead ahead{next, next, 0, 0,
                    once ? asks_of_floats(w.asks, tokens) : ask_ahead_by{ask_into::nothing, 0}};
  if (!once && row + float_panel_rows < range.last) {
    std::size_t tiles = 0;
    for_token_tiles<Widest>(tokens, [&](auto, auto) { tiles += parts; });
    ahead.end = next + w.panel_bytes;
    ahead.of_tile = (w.panel_bytes / tiles / lines_ahead::line + 1) * lines_ahead::line;
    ahead.of_block =
        (ahead.of_tile / (w.cols / block_cols + 1) / lines_ahead::line + 1) * lines_ahead::line;
  }
  for_token_tiles<Widest>(tokens, [&](std::uint32_t t, auto count) {
    for (std::uint32_t part = 0; part < parts; ++part) {
      const std::uint32_t r = part * Rows;
      const std::size_t group_bytes = w.panel_bytes / (float_panel_rows / float_group_rows);
      const rows_of_panel<Element> all{data, group_bytes};
      const rows_of_panel<Element> source{all.row(static_cast<int>(r)), group_bytes};
      float_tile_to<Lanes, Element, Rows, decltype(count)::value>(
          {range.batch, row + r, range.first, range.last, t}, source, w.cols, ahead);
    }
  });
}

/// All tokens, more than `Fewest` and at most `Tokens`, in one tile for each group of rows. Smaller
/// tiles, all but the first of which find the weights in a cache, are faster where weights are not
/// asked for into the second level (docs/adr/0066-one-tile-for-the-last-tokens.md).
template <class Lanes, class Element, int Tokens, int Fewest>
void float_panel_once(const matrix_view& w, std::uint32_t row, const float_target& range) {
  if constexpr (Tokens > Fewest) {
    if (range.batch.tokens == static_cast<std::uint32_t>(Tokens)) {
      float_panel<Lanes, Element, float_group_rows, Tokens>(w, row, range);
    } else {
      float_panel_once<Lanes, Element, Tokens - 1, Fewest>(w, row, range);
    }
  }
}

/// Tokens from which long tiles are taken, where they are: fewer are bound by memory.
inline constexpr std::uint32_t long_tiles_from = 32;

template <class Lanes, class Element>
void product_float_packed(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                          const float_batch& batch) {
  constexpr int rows = Lanes::packed_tile_rows;
  constexpr int tokens = Lanes::packed_tile_tokens;
  const float_target range{batch, 0, first, last, 0};
  for (std::uint32_t row = first - first % float_panel_rows; row < last; row += float_panel_rows) {
    if (batch.tokens <= static_cast<std::uint32_t>(tokens)) {
      float_panel<Lanes, Element, float_group_rows, tokens>(w, row, range);
      continue;
    }
    if constexpr (rows / 2 % float_group_rows == 0) { // not on AVX2, whose tiles are smaller
      if (w.long_tiles && batch.tokens >= long_tiles_from) {
        float_panel<Lanes, Element, rows / 2, 2 * tokens>(w, row, range);
        continue;
      }
      if (w.asks.floats == ask_into::second_level && batch.tokens <= 2 * tokens) {
        float_panel_once<Lanes, Element, 2 * tokens, tokens>(w, row, range);
        continue;
      }
    }
    float_panel<Lanes, Element, rows, tokens>(w, row, range);
  }
}

template <class Lanes, class Element, int Rows>
void float_rows(const matrix_view& w, std::uint32_t row, const float_target& range) {
  lines_ahead none{w.data, w.data, 0, 0, {ask_into::nothing, 0}};
  const rows_of_file<Element> source{w.data + row * w.row_bytes, w.row_bytes};
  std::uint32_t t = 0;
  for (; t + Lanes::tile_tokens <= range.batch.tokens; t += Lanes::tile_tokens) {
    float_tile_to<Lanes, Element, Rows, Lanes::tile_tokens>(
        {range.batch, row, range.first, range.last, t}, source, w.cols, none);
  }
  for (; t < range.batch.tokens; ++t) {
    float_tile_to<Lanes, Element, Rows, 1>({range.batch, row, range.first, range.last, t}, source,
                                           w.cols, none);
  }
}

template <class Lanes, class Element>
void product_float(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const float_batch& batch) {
  if (w.packed != nullptr) {
    return product_float_packed<Lanes, Element>(w, first, last, batch);
  }
  const float_target range{batch, 0, first, last, 0};
  std::uint32_t row = first;
  for (; row + Lanes::tile_rows <= last; row += Lanes::tile_rows) {
    float_rows<Lanes, Element, Lanes::tile_rows>(w, row, range);
  }
  for (; row < last; ++row) {
    float_rows<Lanes, Element, 1>(w, row, range);
  }
}

} // namespace ovir::compute::x86
