#pragma once

#include "compute/kernels/x86/floats.hpp"
#include "learning/kernels/kernels.hpp"

/// The operations of learn-1 over sixteen lanes, written once for both instruction sets. `Lanes` is
/// a type of an anonymous namespace, so each instantiation is private to its file. Every function
/// follows the reference operation by operation; only independent elements change places.
namespace ovir::learning::x86 {

using compute::x86::exp_of;
using compute::x86::stripes;

/// Rows [m, m + Rows) and columns [n, n + 16 * Wide) of a chunk.
template <class Lanes, int Rows, int Wide>
__attribute__((always_inline)) inline void tile(const chunk_product& p, std::size_t m,
                                                std::size_t n) {
  Lanes sum[Rows][Wide];
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < Wide; ++v) {
      sum[r][v] = Lanes::zero();
    }
  }
  const float* a = p.a + m * p.a_row;
  const float* b = p.b + n;
  for (std::uint32_t j = 0; j < p.terms; ++j, a += p.a_term, b += p.b_row) {
    Lanes right[Wide];
#pragma GCC unroll 2
    for (int v = 0; v < Wide; ++v) {
      right[v] = Lanes::load(b + stripes * static_cast<std::size_t>(v));
    }
#pragma GCC unroll 8
    for (int r = 0; r < Rows; ++r) {
      const Lanes left = Lanes::all(a[static_cast<std::size_t>(r) * p.a_row]);
#pragma GCC unroll 2
      for (int v = 0; v < Wide; ++v) {
        sum[r][v] = Lanes::fma(left, right[v], sum[r][v]);
      }
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 2
    for (int v = 0; v < Wide; ++v) {
      float* const out = p.out + (m + static_cast<std::size_t>(r)) * p.out_row + n +
                         stripes * static_cast<std::size_t>(v);
      Lanes::store(out, Lanes::add(Lanes::load(out), sum[r][v]));
    }
  }
}

/// One row and fewer than sixteen columns.
template <class Lanes>
void tile_some(const chunk_product& p, std::size_t m, std::size_t n, std::uint32_t count) {
  Lanes sum = Lanes::zero();
  const float* a = p.a + m * p.a_row;
  const float* b = p.b + n;
  for (std::uint32_t j = 0; j < p.terms; ++j, a += p.a_term, b += p.b_row) {
    sum = Lanes::fma(Lanes::all(*a), Lanes::load_some(b, count), sum);
  }
  float* const out = p.out + m * p.out_row + n;
  Lanes::store_some(out, Lanes::add(Lanes::load_some(out, count), sum), count);
}

/// All rows of columns [n, n + 16 * Wide).
template <class Lanes, int Wide>
__attribute__((noinline)) void column_block(const chunk_product& p, std::size_t n) {
  std::size_t m = 0;
  for (; m + Lanes::tile_rows <= p.rows; m += Lanes::tile_rows) {
    tile<Lanes, Lanes::tile_rows, Wide>(p, m, n);
  }
  for (; m + 2 <= p.rows; m += 2) {
    tile<Lanes, 2, Wide>(p, m, n);
  }
  if (m < p.rows) {
    tile<Lanes, 1, Wide>(p, m, n);
  }
}

template <class Lanes>
void add_chunk(const chunk_product& p) {
  constexpr std::uint32_t wide = stripes * Lanes::tile_wide;
  std::uint32_t n = 0;
  for (; n + wide <= p.cols; n += wide) {
    column_block<Lanes, Lanes::tile_wide>(p, n);
  }
  for (; n + stripes <= p.cols; n += stripes) {
    column_block<Lanes, 1>(p, n);
  }
  for (std::size_t m = 0; n < p.cols && m < p.rows; ++m) {
    tile_some<Lanes>(p, m, n, p.cols - n);
  }
}

/// f(i, count) for stretches of sixteen and for what is left.
template <class Lanes, class F>
__attribute__((always_inline)) inline void over_lanes(std::uint32_t n, const F& f) {
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    f(i, stripes);
  }
  if (i < n) {
    f(i, n - i);
  }
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes load_upto(const float* x, std::uint32_t count) {
  return count == stripes ? Lanes::load(x) : Lanes::load_some(x, count);
}

template <class Lanes>
__attribute__((always_inline)) inline void store_upto(float* x, Lanes v, std::uint32_t count) {
  if (count == stripes) {
    Lanes::store(x, v);
  } else {
    Lanes::store_some(x, v, count);
  }
}

template <class Lanes>
__attribute__((always_inline)) inline Lanes fma_upto(Lanes a, Lanes b, Lanes c,
                                                     std::uint32_t count) {
  return count == stripes ? Lanes::fma(a, b, c) : Lanes::fma_some(a, b, c, count);
}

template <class Lanes>
void add_scaled(float* y, const float* z, float factor, std::uint32_t n) {
  const Lanes by = Lanes::all(factor);
  over_lanes<Lanes>(n, [&](std::uint32_t i, std::uint32_t count) {
    const Lanes sum =
        Lanes::fma(by, load_upto<Lanes>(z + i, count), load_upto<Lanes>(y + i, count));
    store_upto(y + i, sum, count);
  });
}

template <class Lanes>
softmax_sums softmax(float* x, std::uint32_t n, float scale) {
  const float least = -__builtin_inff();
  const Lanes factor = Lanes::all(scale);
  Lanes highest = Lanes::all(least);
  std::uint32_t whole = 0;
  for (; whole + stripes <= n; whole += stripes) {
    const Lanes v = Lanes::mul(Lanes::load(x + whole), factor);
    Lanes::store(x + whole, v);
    highest = Lanes::max(v, highest); // `highest` where v is a NaN, as in the reference
  }
  float all[stripes];
  Lanes::store(all, highest);
  float most = least;
  // Which of two zeros is found makes no difference: both have the same exp(x - most).
  for (const float one : all) {
    most = one > most ? one : most;
  }
  for (std::uint32_t i = whole; i < n; ++i) {
    x[i] *= scale;
    most = x[i] > most ? x[i] : most;
  }
  float total = 0;
  for (std::uint32_t first = 0; first < n; first += chunk_terms) {
    const std::uint32_t left = n - first;
    Lanes s = Lanes::zero();
    over_lanes<Lanes>(left < chunk_terms ? left : chunk_terms,
                      [&](std::uint32_t i, std::uint32_t count) {
                        const Lanes v = load_upto<Lanes>(x + first + i, count);
                        const Lanes w = exp_of(Lanes::sub(v, Lanes::all(most)));
                        store_upto(x + first + i, w, count);
                        s = fma_upto(w, Lanes::all(1.0F), s, count);
                      });
    total += Lanes::fold(s);
  }
  const Lanes divisor = Lanes::all(total);
  over_lanes<Lanes>(n, [&](std::uint32_t i, std::uint32_t count) {
    store_upto(x + i, Lanes::div(load_upto<Lanes>(x + i, count), divisor), count);
  });
  return {most, total};
}

template <class Lanes>
void softmax_back(const float* p, float* d, std::uint32_t n, float scale) {
  Lanes s = Lanes::zero();
  over_lanes<Lanes>(n, [&](std::uint32_t i, std::uint32_t count) {
    s = fma_upto(load_upto<Lanes>(p + i, count), load_upto<Lanes>(d + i, count), s, count);
  });
  const Lanes sum = Lanes::all(Lanes::fold(s));
  const Lanes factor = Lanes::all(scale);
  over_lanes<Lanes>(n, [&](std::uint32_t i, std::uint32_t count) {
    const Lanes rest = Lanes::sub(load_upto<Lanes>(d + i, count), sum);
    const Lanes back = Lanes::mul(load_upto<Lanes>(p + i, count), rest);
    store_upto(d + i, Lanes::mul(back, factor), count);
  });
}

template <class Lanes>
void norm_back(const float* x, const float* w, const float* dy, std::uint32_t n, float epsilon,
               float* out) {
  const float count_of = static_cast<float>(n);
  const float ss = compute::x86::striped_square_sum<Lanes>(x, n);
  const float r = 1.0F / Lanes::square_root(ss / count_of + epsilon);
  Lanes s = Lanes::zero();
  over_lanes<Lanes>(n, [&](std::uint32_t i, std::uint32_t count) {
    const Lanes g = Lanes::mul(load_upto<Lanes>(dy + i, count), load_upto<Lanes>(w + i, count));
    s = fma_upto(g, load_upto<Lanes>(x + i, count), s, count);
  });
  const float c = ((r * r) * r) * (Lanes::fold(s) / count_of);
  const Lanes factor = Lanes::all(r);
  const Lanes pull = Lanes::all(-c);
  over_lanes<Lanes>(n, [&](std::uint32_t i, std::uint32_t count) {
    const Lanes g = Lanes::mul(load_upto<Lanes>(dy + i, count), load_upto<Lanes>(w + i, count));
    const Lanes back = Lanes::fma(pull, load_upto<Lanes>(x + i, count), Lanes::mul(g, factor));
    store_upto(out + i, back, count);
  });
}

template <class Lanes>
void gate_back(const float* gate, const float* up, const float* d, std::uint32_t n, float* d_gate,
               float* d_up) {
  const Lanes one = Lanes::all(1.0F);
  over_lanes<Lanes>(n, [&](std::uint32_t i, std::uint32_t count) {
    const Lanes g = load_upto<Lanes>(gate + i, count);
    const Lanes u = load_upto<Lanes>(up + i, count);
    const Lanes back = load_upto<Lanes>(d + i, count);
    const Lanes below = Lanes::add(one, exp_of(Lanes::negate(g)));
    const Lanes share = Lanes::div(one, below);
    const Lanes silu = Lanes::div(g, below);
    const Lanes slope = Lanes::fma(silu, Lanes::sub(one, share), share);
    store_upto(d_up + i, Lanes::mul(back, silu), count);
    store_upto(d_gate + i, Lanes::mul(Lanes::mul(back, u), slope), count);
  });
}

template <class Lanes>
inline constexpr learn_kernels set_of{add_chunk<Lanes>,    add_scaled<Lanes>, softmax<Lanes>,
                                      softmax_back<Lanes>, norm_back<Lanes>,  gate_back<Lanes>};

} // namespace ovir::learning::x86
