#pragma once

#include "compute/base/kernels_ask.hpp"
#include "compute/kernels/x86/floats.hpp"

/// Products with weights of floats, written once for both instruction sets (see
/// kernels_floats.hpp).
namespace ovir::compute::x86 {

/// Rows of a panel of packed weights, and of its smaller groups (packed_weights.hpp).
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

/// Rows of packed weights: in groups, sixteen columns of each row side by side.
template <class Element, std::uint32_t Group>
struct rows_of_panel {
  static constexpr std::size_t step = Group * stripes * Element::bytes;

  const unsigned char* data;
  std::size_t group_bytes;

  [[nodiscard]] inline const unsigned char* row(int r) const {
    const auto index = static_cast<std::size_t>(r);
    return data + index / Group * group_bytes + index % Group * stripes * Element::bytes;
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
#pragma GCC unroll 16
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

/// Ends striped sums: the columns from `whole` on, `at` bytes into the rows, and the fold.
template <class Lanes, class Element, int Rows, int Tokens, class Source>
__attribute__((always_inline)) inline void
finish_sums(const Source& source, std::uint32_t cols, std::uint32_t whole, std::size_t at,
            const float* x, std::size_t x_stride,
            const typename Lanes::part (&s)[Tokens][Rows][Lanes::parts],
            float (&out)[Tokens][Rows]) {
  Lanes sums[Tokens][Rows];
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
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

/// `Rows` x `Tokens` striped sums; x is the first token's. A function of its own, like the tiles of
/// kernels_panel.hpp.
template <class Lanes, class Element, int Rows, int Tokens, class Source>
__attribute__((noinline)) void float_tile(const Source& source, std::uint32_t cols, const float* x,
                                          std::size_t x_stride, lines_ahead& ahead,
                                          float (&out)[Tokens][Rows]) {
  typename Lanes::part s[Tokens][Rows][Lanes::parts];
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
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
  finish_sums<Lanes, Element, Rows, Tokens>(source, cols, whole, at, x, x_stride, s, out);
}

/// Rows [row, row + Rows) of the result, those within [first, last), of tokens from `token` on.
struct float_target {
  const float_batch& batch;
  std::uint32_t row;
  std::uint32_t first;
  std::uint32_t last;
  std::uint32_t token;
};

template <int Rows, int Tokens>
__attribute__((always_inline)) inline void store_sums(const float_target& to,
                                                      const float (&out)[Tokens][Rows]) {
  for (std::uint32_t t = 0; t < Tokens; ++t) {
    float* y = to.batch.y + (to.token + t) * to.batch.y_stride;
    for (std::uint32_t r = 0; r < Rows; ++r) {
      if (to.row + r >= to.first && to.row + r < to.last) {
        y[to.row + r] = out[t][r];
      }
    }
  }
}

template <class Lanes, class Element, int Rows, int Tokens, class Source>
void float_tile_to(const float_target& to, const Source& source, std::uint32_t cols,
                   lines_ahead& ahead) {
  float out[Tokens][Rows];
  float_tile<Lanes, Element, Rows, Tokens>(source, cols, to.batch.x + to.token * to.batch.x_stride,
                                           to.batch.x_stride, ahead, out);
  store_sums(to, out);
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

/// `run(count)` with `tokens`, at most `Most`, as a compile-time constant.
template <int Most, class Run>
void with_token_count(std::uint32_t tokens, const Run& run) {
  if constexpr (Most > 1) {
    if (tokens < static_cast<std::uint32_t>(Most)) {
      return with_token_count<Most - 1>(tokens, run);
    }
  }
  run(token_count<Most>{});
}

/// The same as `for_token_tiles`, but the fewest tiles, of sizes as equal as can be.
template <int Widest, class Run>
void for_even_tiles(std::uint32_t tokens, const Run& run) {
  for (std::uint32_t t = 0; t < tokens;) {
    const std::uint32_t left = tokens - t;
    const std::uint32_t tiles = (left + Widest - 1) / Widest;
    const std::uint32_t next = (left + tiles - 1) / tiles;
    with_token_count<Widest>(next, [&](auto count) { run(t, count); });
    t += next;
  }
}

/// Tiles of `Rows` rows and `Widest` tokens, of weights in groups of `Group` rows.
template <class Lanes, class Element, std::uint32_t Group, int Rows, int Widest>
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
      const std::size_t group_bytes = w.panel_bytes / (float_panel_rows / Group);
      const rows_of_panel<Element, Group> all{data, group_bytes};
      const rows_of_panel<Element, Group> source{all.row(static_cast<int>(r)), group_bytes};
      float_tile_to<Lanes, Element, Rows, decltype(count)::value>(
          {range.batch, row + r, range.first, range.last, t}, source, w.cols, ahead);
    }
  });
}

/// All tokens, more than `Fewest` and at most `Tokens`, in one tile for each group of rows. Smaller
/// tiles, all but the first of which find the weights in a cache, are faster where weights are not
/// asked for into the second level (docs/adr/0002-kernels.md).
template <class Lanes, class Element, int Tokens, int Fewest>
void float_panel_once(const matrix_view& w, std::uint32_t row, const float_target& range) {
  if constexpr (Tokens > Fewest) {
    if (range.batch.tokens == static_cast<std::uint32_t>(Tokens)) {
      float_panel<Lanes, Element, float_group_rows, float_group_rows, Tokens>(w, row, range);
    } else {
      float_panel_once<Lanes, Element, Tokens - 1, Fewest>(w, row, range);
    }
  }
}

/// Adds the products of `cols` columns, a multiple of 16, to sums that lie in memory.
template <class Lanes, class Element, int Rows, int Tokens, class Source>
__attribute__((noinline)) void add_columns(const Source& source, std::size_t at, std::uint32_t cols,
                                           const float* x, std::size_t x_stride, ask_ahead_by asks,
                                           typename Lanes::part (*sums)[Rows][Lanes::parts]) {
  typename Lanes::part s[Tokens][Rows][Lanes::parts];
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) { // one by one, or GCC keeps them in memory
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < Lanes::parts; ++p) {
        s[t][r][p] = sums[t][r][p];
      }
    }
  }
  for (std::uint32_t i = 0; i < cols; i += stripes, at += Source::step) {
    multiply_columns<Lanes, Element>(source, at, x + i, x_stride, asks, s);
  }
#pragma GCC unroll 8
  for (int t = 0; t < Tokens; ++t) {
#pragma GCC unroll 16
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
      for (int p = 0; p < Lanes::parts; ++p) {
        sums[t][r][p] = s[t][r][p];
      }
    }
  }
}

/// Most tokens that `float_panel_by_blocks` serves.
inline constexpr std::uint32_t block_tokens = 8;

/// A few tokens and a panel in one group of rows, `Rows` at a time: as many columns at once as stay
/// in a first-level cache until all of both met (docs/adr/0002-kernels.md).
template <class Lanes, class Element, int Rows>
void float_panel_by_blocks(const matrix_view& w, std::uint32_t row, const float_target& range) {
  constexpr std::uint32_t cols_at_once = 512; // 16 KiB of weights in 16 bits
  constexpr std::uint32_t parts = float_panel_rows / Rows;
  constexpr int widest = 2 * Lanes::packed_tile_tokens;
  using source = rows_of_panel<Element, float_panel_rows>;
  using tile_sums = typename Lanes::part[Rows][Lanes::parts];
  const float_batch& batch = range.batch;
  const source all{w.packed + row / float_panel_rows * w.panel_bytes, w.panel_bytes};
  // The first tile asks for what it will load of the next columns.
  const ask_ahead_by asks{ask_into::second_level,
                          std::size_t{cols_at_once} / stripes * source::step};
  tile_sums sums[parts][block_tokens];
  __builtin_memset(static_cast<void*>(sums), 0, sizeof sums); // 0.0
  const std::uint32_t whole = w.cols / stripes * stripes;
  for (std::uint32_t col = 0; col < whole; col += cols_at_once) {
    const std::uint32_t cols = whole - col < cols_at_once ? whole - col : cols_at_once;
    const std::size_t at = std::size_t{col} / stripes * source::step;
    for (std::uint32_t part = 0; part < parts; ++part) {
      const source rows{all.row(static_cast<int>(part * Rows)), w.panel_bytes};
      for_even_tiles<widest>(batch.tokens, [&](std::uint32_t t, auto count) {
        const ask_ahead_by none{ask_into::nothing, 0};
        add_columns<Lanes, Element, Rows, decltype(count)::value>(
            rows, at, cols, batch.x + t * batch.x_stride + col, batch.x_stride,
            t == 0 ? asks : none, sums[part] + t);
      });
    }
  }
  for (std::uint32_t part = 0; part < parts; ++part) {
    const source rows{all.row(static_cast<int>(part * Rows)), w.panel_bytes};
    for (std::uint32_t t = 0; t < batch.tokens; ++t) {
      typename Lanes::part one[1][Rows][Lanes::parts];
      __builtin_memcpy(one, sums[part] + t, sizeof one);
      float out[1][Rows];
      finish_sums<Lanes, Element, Rows, 1>(rows, w.cols, whole,
                                           std::size_t{whole} / stripes * source::step,
                                           batch.x + t * batch.x_stride, batch.x_stride, one, out);
      store_sums({batch, row + part * Rows, range.first, range.last, t}, out);
    }
  }
}

/// Tokens from which long tiles are taken, where they are: fewer are bound by memory.
inline constexpr std::uint32_t long_tiles_from = 32;

template <class Lanes, class Element, std::uint32_t Group>
void product_float_groups(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                          const float_batch& batch) {
  constexpr int rows = Lanes::packed_tile_rows;
  constexpr int tokens = Lanes::packed_tile_tokens;
  constexpr bool small_groups = Group == float_group_rows;
  const float_target range{batch, 0, first, last, 0};
  for (std::uint32_t row = first - first % float_panel_rows; row < last; row += float_panel_rows) {
    if constexpr (small_groups) {
      if (batch.tokens <= static_cast<std::uint32_t>(tokens)) {
        float_panel<Lanes, Element, Group, float_group_rows, tokens>(w, row, range);
        continue;
      }
    } else if (batch.tokens == 1) {
      float_panel<Lanes, Element, Group, Lanes::one_token_rows, 1>(w, row, range);
      continue;
    } else if (batch.tokens <= block_tokens) {
      float_panel_by_blocks<Lanes, Element, float_group_rows>(w, row, range);
      continue;
    }
    if constexpr (rows / 2 % float_group_rows == 0) { // not on AVX2, whose tiles are smaller
      if (w.long_tiles && batch.tokens >= long_tiles_from) {
        float_panel<Lanes, Element, Group, rows / 2, 2 * tokens>(w, row, range);
        continue;
      }
      if (small_groups && w.asks.floats == ask_into::second_level && batch.tokens <= 2 * tokens) {
        float_panel_once<Lanes, Element, 2 * tokens, tokens>(w, row, range);
        continue;
      }
    }
    float_panel<Lanes, Element, Group, rows, tokens>(w, row, range);
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
    if (w.group_rows == float_panel_rows) {
      return product_float_groups<Lanes, Element, float_panel_rows>(w, first, last, batch);
    }
    return product_float_groups<Lanes, Element, float_group_rows>(w, first, last, batch);
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
