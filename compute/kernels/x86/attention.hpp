#pragma once

#include "compute/base/exact_math.hpp"
#include "compute/kernels/x86/floats.hpp"

/// Attention over sixteen lanes, written once for both instruction sets (see kernels_floats.hpp).
/// Query heads that share keys and values are computed together, so that each key and value is read
/// and widened once for several of them.
namespace ovir::compute::x86 {

inline constexpr std::uint32_t attention_chunk = 256;
/// Heads computed together at most.
inline constexpr std::uint32_t attention_heads = 8;
/// Positions whose keys stay in the first-level cache while all heads meet them.
inline constexpr std::uint32_t score_positions = 64;

/// The striped sum of query and one key.
template <class Lanes>
float score_of(const float* query, const std::uint16_t* key, std::uint32_t head_dim) {
  Lanes s = Lanes::zero();
  std::uint32_t i = 0;
  for (; i + stripes <= head_dim; i += stripes) {
    s = Lanes::fma(Lanes::load(query + i), Lanes::load_half(key + i), s);
  }
  if (i < head_dim) {
    const std::uint32_t left = head_dim - i;
    s = Lanes::fma_some(Lanes::load_some(query + i, left), Lanes::load_half_some(key + i, left), s,
                        left);
  }
  return Lanes::fold(s);
}

/// Heads [head, head + Heads) and positions [p, p + Positions): independent chains of fma, and
/// shared folding.
template <class Lanes, int Heads, int Positions>
__attribute__((always_inline)) inline void score_tile(const attention& task, std::uint32_t head,
                                                      std::uint32_t p) {
  constexpr int sums = Heads * Positions;
  const std::uint16_t* key = task.keys + p * task.stride;
  const float* query = task.query + std::size_t{head} * task.head_dim;
  Lanes s[sums];
#pragma GCC unroll 16
  for (int n = 0; n < sums; ++n) {
    s[n] = Lanes::zero();
  }
  for (std::uint32_t i = 0; i < task.head_dim; i += stripes) {
    Lanes k[Positions];
#pragma GCC unroll 4
    for (int n = 0; n < Positions; ++n) {
      k[n] = Lanes::load_half(key + static_cast<std::size_t>(n) * task.stride + i);
    }
#pragma GCC unroll 4
    for (int h = 0; h < Heads; ++h) {
      const Lanes q = Lanes::load(query + static_cast<std::size_t>(h) * task.head_dim + i);
#pragma GCC unroll 4
      for (int n = 0; n < Positions; ++n) {
        s[h * Positions + n] = Lanes::fma(q, k[n], s[h * Positions + n]);
      }
    }
  }
  float out[sums];
#pragma GCC unroll 4
  for (int n = 0; n < sums; n += 4) {
    Lanes::fold_four(s + n, out + n);
  }
  float* to = task.scores + std::size_t{head} * task.positions + p;
#pragma GCC unroll 4
  for (int h = 0; h < Heads; ++h) {
    __builtin_memcpy(to + static_cast<std::size_t>(h) * task.positions, out + h * Positions,
                     Positions * sizeof *out);
  }
}

/// Dot products of `Heads` heads with the keys of positions [first, last). A function of its own,
/// like the tiles of kernels_panel.hpp.
template <class Lanes, int Heads, int Positions>
__attribute__((noinline)) void score_block(const attention& task, std::uint32_t head,
                                           std::uint32_t first, std::uint32_t last) {
  std::uint32_t p = first;
  if (task.head_dim % stripes == 0) {
    for (; p + Positions <= last; p += Positions) {
      score_tile<Lanes, Heads, Positions>(task, head, p);
    }
  }
  for (; p < last; ++p) {
    for (std::uint32_t h = head; h < head + Heads; ++h) {
      task.scores[std::size_t{h} * task.positions + p] = score_of<Lanes>(
          task.query + std::size_t{h} * task.head_dim, task.keys + p * task.stride, task.head_dim);
    }
  }
}

/// Makes n dot products scores by `scale`; returns the largest.
template <class Lanes>
float scale_scores(float* scores, std::uint32_t n, float scale) {
  const Lanes factor = Lanes::all(scale);
  Lanes most = Lanes::all(-__builtin_inff());
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    const Lanes score = Lanes::mul(Lanes::load(scores + i), factor);
    Lanes::store(scores + i, score);
    most = Lanes::max(score, most); // `most` where the score is a NaN, as in the reference
  }
  float all[stripes];
  Lanes::store(all, most);
  float maximum = -__builtin_inff();
  // Which of two zeros is found makes no difference: both have the same exp(score - maximum).
  for (const float one : all) {
    maximum = one > maximum ? one : maximum;
  }
  for (; i < n; ++i) {
    scores[i] *= scale;
    maximum = scores[i] > maximum ? scores[i] : maximum;
  }
  return maximum;
}

/// Caps the scores of one head that are not masked; returns the largest. Static, so that no file's
/// copy can be taken for another's.
static inline float cap_scores(const attention& task, float* scores) {
  float maximum = -__builtin_inff();
  for (std::uint32_t p = task.first; p < task.positions; ++p) {
    scores[p] = exact_soft_cap(scores[p], task.cap);
    maximum = scores[p] > maximum ? scores[p] : maximum;
  }
  return maximum;
}

/// Turns scores into exp(score - maximum) in place; returns their striped sum.
template <class Lanes>
float attention_weights(float* scores, std::uint32_t n, float maximum) {
  const Lanes most = Lanes::all(maximum);
  Lanes s = Lanes::zero();
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    const Lanes w = exp_of(Lanes::sub(Lanes::load(scores + i), most));
    Lanes::store(scores + i, w);
    s = Lanes::add(w, s); // fma(w, 1, s)
  }
  if (i < n) {
    const Lanes w = exp_of(Lanes::sub(Lanes::load_some(scores + i, n - i), most));
    Lanes::store_some(scores + i, w, n - i);
    s = Lanes::fma_some(w, Lanes::all(1.0F), s, n - i);
  }
  return Lanes::fold(s);
}

/// A chunk of positions [first, first + count), for `Heads` heads from `head` on.
struct value_chunk {
  const attention& task;
  std::uint32_t head;
  std::uint32_t first;
  std::uint32_t count;
};

/// Adds one chunk's weighted values to output[d..d + 16 * Blocks) of each head.
template <class Lanes, int Heads, int Blocks>
__attribute__((noinline)) void add_values(const value_chunk& chunk, std::uint32_t d) {
  const attention& task = chunk.task;
  Lanes o[Heads][Blocks];
#pragma GCC unroll 4
  for (int h = 0; h < Heads; ++h) {
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; ++b) {
      o[h][b] = Lanes::zero();
    }
  }
  const float* weights = task.scores + std::size_t{chunk.head} * task.positions + chunk.first;
  const std::uint16_t* values = task.values + chunk.first * task.stride + d;
  for (std::uint32_t p = 0; p < chunk.count; ++p, values += task.stride) {
    Lanes v[Blocks];
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; ++b) {
      v[b] = Lanes::load_half(values + 16 * b);
    }
#pragma GCC unroll 4
    for (int h = 0; h < Heads; ++h) {
      const Lanes w = Lanes::all(weights[static_cast<std::size_t>(h) * task.positions + p]);
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; ++b) {
        o[h][b] = Lanes::fma(w, v[b], o[h][b]);
      }
    }
  }
#pragma GCC unroll 4
  for (int h = 0; h < Heads; ++h) {
    float* output =
        task.output + (std::size_t{chunk.head} + static_cast<std::size_t>(h)) * task.head_dim + d;
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; ++b) {
      Lanes::store(output + 16 * b, Lanes::add(Lanes::load(output + 16 * b), o[h][b]));
    }
  }
}

/// The same for one head and the last `dims` elements, fewer than sixteen.
template <class Lanes>
void add_some_values(const value_chunk& chunk, std::uint32_t d, std::uint32_t dims) {
  const attention& task = chunk.task;
  const float* weights = task.scores + std::size_t{chunk.head} * task.positions + chunk.first;
  const std::uint16_t* values = task.values + chunk.first * task.stride + d;
  Lanes o = Lanes::zero();
  for (std::uint32_t p = 0; p < chunk.count; ++p, values += task.stride) {
    o = Lanes::fma(Lanes::all(weights[p]), Lanes::load_half_some(values, dims), o);
  }
  float* output = task.output + std::size_t{chunk.head} * task.head_dim + d;
  Lanes::store_some(output, Lanes::add(Lanes::load_some(output, dims), o), dims);
}

/// Every element of `Heads` heads.
template <class Lanes, int Heads, int Blocks>
void add_all_values(const value_chunk& chunk) {
  constexpr std::uint32_t wide = stripes * Blocks;
  const std::uint32_t dims = chunk.task.head_dim;
  std::uint32_t d = 0;
  for (; d + wide <= dims; d += wide) {
    add_values<Lanes, Heads, Blocks>(chunk, d);
  }
  for (; d + stripes <= dims; d += stripes) {
    add_values<Lanes, Heads, 1>(chunk, d);
  }
  for (std::uint32_t h = 0; d < dims && h < Heads; ++h) {
    add_some_values<Lanes>({chunk.task, chunk.head + h, chunk.first, chunk.count}, d, dims - d);
  }
}

template <class Lanes>
void divide(float* values, std::uint32_t n, float by) {
  const Lanes divisor = Lanes::all(by);
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    Lanes::store(values + i, Lanes::div(Lanes::load(values + i), divisor));
  }
  if (i < n) {
    Lanes::store_some(values + i, Lanes::div(Lanes::load_some(values + i, n - i), divisor), n - i);
  }
}

/// At most `attention_heads` heads.
template <class Lanes>
void attend_together(const attention& task) {
  constexpr std::uint32_t together = Lanes::attend_heads;
  for (std::uint32_t p = 0; p < task.positions; p += score_positions) {
    const std::uint32_t left = task.positions - p;
    const std::uint32_t end = p + (left < score_positions ? left : score_positions);
    std::uint32_t h = 0;
    for (; h + together <= task.heads; h += together) {
      score_block<Lanes, Lanes::attend_heads, Lanes::attend_positions>(task, h, p, end);
    }
    for (; h < task.heads; ++h) {
      score_block<Lanes, 1, 4>(task, h, p, end);
    }
  }
  float maximum[attention_heads];
  float total[attention_heads] = {};
  for (std::uint32_t h = 0; h < task.heads; ++h) {
    float* scores = task.scores + std::size_t{h} * task.positions;
    // A masked score becomes a weight of +0, which adds to no sum and changes no bit of one.
    for (std::uint32_t p = 0; p < task.first; ++p) {
      scores[p] = -__builtin_inff();
    }
    maximum[h] = scale_scores<Lanes>(scores, task.positions, task.scale);
    if (task.cap != 0) {
      maximum[h] = cap_scores(task, scores);
    }
  }
  for (std::uint32_t i = 0; i < task.heads * task.head_dim; ++i) {
    task.output[i] = 0;
  }
  for (std::uint32_t first = 0; first < task.positions; first += attention_chunk) {
    const std::uint32_t left = task.positions - first;
    const std::uint32_t n = left < attention_chunk ? left : attention_chunk;
    for (std::uint32_t h = 0; h < task.heads; ++h) {
      float* weights = task.scores + std::size_t{h} * task.positions + first;
      total[h] += attention_weights<Lanes>(weights, n, maximum[h]);
    }
    std::uint32_t h = 0;
    for (; h + together <= task.heads; h += together) {
      add_all_values<Lanes, Lanes::attend_heads, Lanes::attend_blocks>({task, h, first, n});
    }
    for (; h < task.heads; ++h) {
      add_all_values<Lanes, 1, 4>({task, h, first, n});
    }
  }
  for (std::uint32_t h = 0; h < task.heads; ++h) {
    divide<Lanes>(task.output + std::size_t{h} * task.head_dim, task.head_dim, total[h]);
  }
}

template <class Lanes>
void attend(const attention& task) {
  attention part = task;
  // Chunks that are masked as a whole are left out.
  const std::uint32_t skipped = task.first / attention_chunk * attention_chunk;
  part.keys += skipped * task.stride;
  part.values += skipped * task.stride;
  part.positions -= skipped;
  part.first -= skipped;
  for (std::uint32_t h = 0; h < task.heads; h += attention_heads) {
    part.heads = task.heads - h < attention_heads ? task.heads - h : attention_heads;
    part.query = task.query + std::size_t{h} * task.head_dim;
    part.scores = task.scores + std::size_t{h} * part.positions;
    part.output = task.output + std::size_t{h} * task.head_dim;
    attend_together<Lanes>(part);
  }
}

} // namespace ovir::compute::x86
