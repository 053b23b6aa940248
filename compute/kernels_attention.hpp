#pragma once

#include "compute/kernels_floats.hpp"

/// Attention over sixteen lanes, written once for both instruction sets (see kernels_floats.hpp).
namespace ovir::compute::x86 {

inline constexpr std::uint32_t attention_chunk = 256;

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

/// Four positions at once: four independent chains of fma, and shared folding.
template <class Lanes>
void scores_of_four(const attention& task, std::uint32_t p, float (&out)[4]) {
  const std::uint16_t* key = task.keys + p * task.stride;
  Lanes s[4] = {Lanes::zero(), Lanes::zero(), Lanes::zero(), Lanes::zero()};
  for (std::uint32_t i = 0; i < task.head_dim; i += stripes) {
    const Lanes q = Lanes::load(task.query + i);
#pragma GCC unroll 4
    for (std::uint32_t n = 0; n < 4; ++n) {
      s[n] = Lanes::fma(q, Lanes::load_half(key + n * task.stride + i), s[n]);
    }
  }
  Lanes::fold_four(s, out);
}

/// Writes fl(score * scale) of every position; returns the largest.
template <class Lanes>
float attention_scores(const attention& task) {
  float maximum = -__builtin_inff();
  std::uint32_t p = 0;
  const auto keep = [&](std::uint32_t position, float dot) {
    const float score = dot * task.scale;
    task.scores[position] = score;
    maximum = score > maximum ? score : maximum;
  };
  if (task.head_dim % stripes == 0) {
    for (; p + 4 <= task.positions; p += 4) {
      float dots[4];
      scores_of_four<Lanes>(task, p, dots);
      for (std::uint32_t n = 0; n < 4; ++n) {
        keep(p + n, dots[n]);
      }
    }
  }
  for (; p < task.positions; ++p) {
    keep(p, score_of<Lanes>(task.query, task.keys + p * task.stride, task.head_dim));
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

/// Adds one chunk's weighted values to output[0..16 * Blocks).
template <class Lanes, int Blocks>
void add_values(const float* weights, const std::uint16_t* values, std::size_t stride,
                std::uint32_t n, float* output) {
  Lanes o[Blocks];
#pragma GCC unroll 8
  for (int b = 0; b < Blocks; ++b) {
    o[b] = Lanes::zero();
  }
  for (std::uint32_t p = 0; p < n; ++p, values += stride) {
    const Lanes w = Lanes::all(weights[p]);
#pragma GCC unroll 8
    for (int b = 0; b < Blocks; ++b) {
      o[b] = Lanes::fma(w, Lanes::load_half(values + 16 * b), o[b]);
    }
  }
#pragma GCC unroll 8
  for (int b = 0; b < Blocks; ++b) {
    Lanes::store(output + 16 * b, Lanes::add(Lanes::load(output + 16 * b), o[b]));
  }
}

template <class Lanes>
void add_some_values(const float* weights, const std::uint16_t* values, std::size_t stride,
                     std::uint32_t n, float* output, std::uint32_t dims) {
  Lanes o = Lanes::zero();
  for (std::uint32_t p = 0; p < n; ++p, values += stride) {
    o = Lanes::fma(Lanes::all(weights[p]), Lanes::load_half_some(values, dims), o);
  }
  Lanes::store_some(output, Lanes::add(Lanes::load_some(output, dims), o), dims);
}

template <class Lanes>
void attend(const attention& task) {
  const float maximum = attention_scores<Lanes>(task);
  for (std::uint32_t d = 0; d < task.head_dim; ++d) {
    task.output[d] = 0;
  }
  float total = 0;
  for (std::uint32_t first = 0; first < task.positions; first += attention_chunk) {
    const std::uint32_t left = task.positions - first;
    const std::uint32_t n = left < attention_chunk ? left : attention_chunk;
    float* weights = task.scores + first;
    const std::uint16_t* values = task.values + first * task.stride;
    total += attention_weights<Lanes>(weights, n, maximum);
    constexpr std::uint32_t wide = stripes * Lanes::attend_blocks;
    std::uint32_t d = 0;
    for (; d + wide <= task.head_dim; d += wide) {
      add_values<Lanes, Lanes::attend_blocks>(weights, values + d, task.stride, n, task.output + d);
    }
    for (; d + stripes <= task.head_dim; d += stripes) {
      add_values<Lanes, 1>(weights, values + d, task.stride, n, task.output + d);
    }
    if (d < task.head_dim) {
      add_some_values<Lanes>(weights, values + d, task.stride, n, task.output + d,
                             task.head_dim - d);
    }
  }
  for (std::uint32_t d = 0; d < task.head_dim; ++d) {
    task.output[d] /= total;
  }
}

} // namespace ovir::compute::x86
