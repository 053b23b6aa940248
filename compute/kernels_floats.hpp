#pragma once

#include "compute/exact_constants.hpp"
#include "compute/kernels_x86.hpp"

/// The float operations of exact-1 over sixteen lanes, written once for both instruction sets.
/// `Lanes` (lanes_avx2.hpp, lanes_avx512.hpp) is a type of an anonymous namespace, so each
/// instantiation is private to its file. Every function follows the reference operation by
/// operation; only independent elements and positions change places.
namespace ovir::compute::x86 {

inline constexpr std::uint32_t stripes = 16;
inline constexpr std::uint32_t attention_chunk = 256;

/// Data, not `exact::exp_coefficients[i]`: a call of std::array's operator would be a shared inline
/// function.
inline constexpr float exp_coefficient[7] = {exact::exp_coefficients[0], exact::exp_coefficients[1],
                                             exact::exp_coefficients[2], exact::exp_coefficients[3],
                                             exact::exp_coefficients[4], exact::exp_coefficients[5],
                                             exact::exp_coefficients[6]};

template <class Lanes>
Lanes exp_of(Lanes x) {
  // max and min give their second operand for a NaN, as the reference's comparisons do.
  const Lanes above = Lanes::max(x, Lanes::all(exact::exp_argument_min));
  const Lanes c = Lanes::min(above, Lanes::all(exact::exp_argument_max));
  const Lanes z = Lanes::mul(c, Lanes::all(exact::exp_log2_e));
  const Lanes round = Lanes::all(exact::exp_round);
  const Lanes n = Lanes::sub(Lanes::add(z, round), round);
  Lanes r = Lanes::fma(n, Lanes::all(-exact::exp_ln2_high), c);
  r = Lanes::fma(n, Lanes::all(-exact::exp_ln2_low), r);
  Lanes p = Lanes::all(exp_coefficient[0]);
  for (int i = 1; i < 7; ++i) {
    p = Lanes::fma(p, r, Lanes::all(exp_coefficient[i]));
  }
  return Lanes::keep_nan(x, Lanes::scale_by_power(p, n));
}

/// fma lane by lane into a striped sum, for `n` elements read by a(i, count) and b(i, count).
template <class Lanes>
float striped_square_sum(const float* x, std::uint32_t n) {
  Lanes s = Lanes::zero();
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    const Lanes v = Lanes::load(x + i);
    s = Lanes::fma(v, v, s);
  }
  if (i < n) {
    const Lanes v = Lanes::load_some(x + i, n - i);
    s = Lanes::fma_some(v, v, s, n - i);
  }
  return Lanes::fold(s);
}

template <class Lanes>
void rms_norm(const float* x, const float* w, std::uint32_t n, float epsilon, float* y) {
  const float ss = striped_square_sum<Lanes>(x, n);
  const float r = 1.0F / Lanes::square_root(ss / static_cast<float>(n) + epsilon);
  const Lanes factor = Lanes::all(r);
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    const Lanes scaled = Lanes::mul(Lanes::load(x + i), factor);
    Lanes::store(y + i, Lanes::mul(scaled, Lanes::load(w + i)));
  }
  for (; i < n; ++i) {
    y[i] = (x[i] * r) * w[i];
  }
}

template <class Lanes>
Lanes swiglu_lanes(Lanes gate, Lanes up) {
  const Lanes denominator = Lanes::add(Lanes::all(1.0F), exp_of(Lanes::negate(gate)));
  return Lanes::mul(Lanes::div(gate, denominator), up);
}

template <class Lanes>
void swiglu(const float* gate, const float* up, std::uint32_t n, float* out) {
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    Lanes::store(out + i, swiglu_lanes(Lanes::load(gate + i), Lanes::load(up + i)));
  }
  if (i < n) {
    const Lanes last =
        swiglu_lanes(Lanes::load_some(gate + i, n - i), Lanes::load_some(up + i, n - i));
    Lanes::store_some(out + i, last, n - i);
  }
}

template <class Lanes>
void rotate(float* x, const float* cos_sin, std::uint32_t pairs) {
  const std::uint32_t n = 2 * pairs;
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    Lanes::store(x + i, Lanes::rotate(Lanes::load(x + i), Lanes::load(cos_sin + i)));
  }
  if (i < n) {
    const Lanes last =
        Lanes::rotate(Lanes::load_some(x + i, n - i), Lanes::load_some(cos_sin + i, n - i));
    Lanes::store_some(x + i, last, n - i);
  }
}

template <class Lanes>
bool add(float* a, const float* b, std::uint32_t n) {
  typename Lanes::exponents seen = Lanes::no_exponents();
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    const Lanes sum = Lanes::add(Lanes::load(a + i), Lanes::load(b + i));
    Lanes::store(a + i, sum);
    seen = Lanes::join(seen, sum);
  }
  if (i < n) {
    const Lanes sum = Lanes::add(Lanes::load_some(a + i, n - i), Lanes::load_some(b + i, n - i));
    Lanes::store_some(a + i, sum, n - i);
    seen = Lanes::join(seen, sum);
  }
  return Lanes::all_finite(seen);
}

template <class Lanes>
bool to_half(const float* x, std::uint32_t n, std::uint16_t* out) {
  // A result is finite exactly when it reads back as a finite binary32.
  typename Lanes::exponents seen = Lanes::no_exponents();
  std::uint32_t i = 0;
  for (; i + stripes <= n; i += stripes) {
    Lanes::store_half(out + i, Lanes::load(x + i));
    seen = Lanes::join(seen, Lanes::load_half(out + i));
  }
  if (i < n) {
    std::uint16_t last[stripes];
    Lanes::store_half(last, Lanes::load_some(x + i, n - i));
    seen = Lanes::join(seen, Lanes::load_half(last));
    __builtin_memcpy(out + i, last, (n - i) * sizeof *out);
  }
  return Lanes::all_finite(seen);
}

inline constexpr std::uint32_t quantized_block = 32;
inline constexpr std::uint32_t quantized_superblock = 256;

/// ceil(value) within [low, high]. Private to each file by its unused type.
template <class Lanes>
std::int32_t ceil_within(float value, std::int32_t low, std::int32_t high) {
  if (value <= static_cast<float>(low)) {
    return low;
  }
  if (value >= static_cast<float>(high)) {
    return high;
  }
  const auto whole = static_cast<std::int32_t>(value);
  return static_cast<float>(whole) < value ? whole + 1 : whole;
}

/// max(2^(floor(log2 scale) - 11), 2^-100), by the exponent field; a subnormal's is low enough.
template <class Lanes>
float unit_of(float scale) {
  constexpr std::int32_t exponent_min = -100;
  std::int32_t bits;
  __builtin_memcpy(&bits, &scale, sizeof bits);
  const std::int32_t wanted = (bits >> 23) - 127 - 11;
  bits = ((wanted > exponent_min ? wanted : exponent_min) + 127) << 23;
  float u;
  __builtin_memcpy(&u, &bits, sizeof u);
  return u;
}

template <class Lanes>
bool quantize(const float* x, const quantized_row& out) {
  // Rounded division is monotone, so the largest scale is that of the largest element.
  float largest = 0;
  for (std::uint32_t i = 0; i < out.cols; i += quantized_block) {
    const float block = Lanes::largest_of_32(x + i); // an infinity when any is not finite
    largest = block > largest ? block : largest;
  }
  if (largest > 0x1.fffffep+127F) {
    return false;
  }
  const float scale = largest / 127.0F;
  const float u = unit_of<Lanes>(out.a256 ? scale / 63.0F : scale);
  *out.u = u;
  const std::uint32_t width = out.a256 ? quantized_superblock : quantized_block;
  for (std::uint32_t first = 0; first < out.cols; first += width) {
    float s[quantized_superblock / quantized_block];
    float s_max = 0;
    for (std::uint32_t j = 0; j < width / quantized_block; ++j) {
      s[j] = Lanes::largest_of_32(x + first + j * quantized_block) / 127.0F;
      s_max = s[j] > s_max ? s[j] : s_max;
    }
    const std::int32_t k = ceil_within<Lanes>((out.a256 ? s_max / 63.0F : s_max) / u, 1, 4095);
    const float ku = static_cast<float>(k) * u;
    out.k[first / width] = k;
    for (std::uint32_t j = 0; j < width / quantized_block; ++j) {
      const std::uint32_t at = first / quantized_block + j;
      const std::int32_t m = out.a256 ? ceil_within<Lanes>(s[j] / ku, 1, 63) : 1;
      out.m[at] = m;
      out.sum[at] =
          Lanes::quantize_32(x + std::size_t{at} * quantized_block, static_cast<float>(m) * ku,
                             out.q + std::size_t{at} * quantized_block);
    }
  }
  return true;
}

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

/// `Rows` x `Tokens` striped sums of float weights; `Element` reads lanes of the file's type.
template <class Lanes, class Element, int Rows, int Tokens>
void float_tile(const matrix_view& w, std::uint32_t row, const float_batch& batch,
                std::uint32_t token) {
  Lanes s[Rows][Tokens];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 4
    for (int t = 0; t < Tokens; ++t) {
      s[r][t] = Lanes::zero();
    }
  }
  const unsigned char* data = w.data + row * w.row_bytes;
  const float* x = batch.x + token * batch.x_stride;
  std::uint32_t i = 0;
  for (; i + stripes <= w.cols; i += stripes) {
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      const Lanes a =
          Element::load(data + static_cast<std::size_t>(r) * w.row_bytes + i * Element::bytes);
#pragma GCC unroll 4
      for (int t = 0; t < Tokens; ++t) {
        const float* xt = x + static_cast<std::size_t>(t) * batch.x_stride;
        s[r][t] = Lanes::fma(a, Lanes::load(xt + i), s[r][t]);
      }
    }
  }
  const std::uint32_t left = w.cols - i;
  for (int r = 0; r < Rows; ++r) {
    for (int t = 0; t < Tokens; ++t) {
      if (left != 0) {
        const float* xt = x + static_cast<std::size_t>(t) * batch.x_stride;
        const Lanes a = Element::load_some(
            data + static_cast<std::size_t>(r) * w.row_bytes + i * Element::bytes, left);
        s[r][t] = Lanes::fma_some(a, Lanes::load_some(xt + i, left), s[r][t], left);
      }
      batch.y[(token + static_cast<std::size_t>(t)) * batch.y_stride + row +
              static_cast<std::size_t>(r)] = Lanes::fold(s[r][t]);
    }
  }
}

template <class Lanes, class Element, int Rows>
void float_rows(const matrix_view& w, std::uint32_t row, const float_batch& batch) {
  std::uint32_t t = 0;
  for (; t + Lanes::tile_tokens <= batch.tokens; t += Lanes::tile_tokens) {
    float_tile<Lanes, Element, Rows, Lanes::tile_tokens>(w, row, batch, t);
  }
  for (; t < batch.tokens; ++t) {
    float_tile<Lanes, Element, Rows, 1>(w, row, batch, t);
  }
}

template <class Lanes, class Element>
void product_float(const matrix_view& w, std::uint32_t first, std::uint32_t last,
                   const float_batch& batch) {
  std::uint32_t row = first;
  for (; row + Lanes::tile_rows <= last; row += Lanes::tile_rows) {
    float_rows<Lanes, Element, Lanes::tile_rows>(w, row, batch);
  }
  for (; row < last; ++row) {
    float_rows<Lanes, Element, 1>(w, row, batch);
  }
}

/// How Lanes reads the three float encodings.
template <class Lanes>
struct f32_element {
  static constexpr std::size_t bytes = 4;
  static Lanes load(const unsigned char* p) { return Lanes::load(p); }
  static Lanes load_some(const unsigned char* p, std::uint32_t n) { return Lanes::load_some(p, n); }
};

template <class Lanes>
struct f16_element {
  static constexpr std::size_t bytes = 2;
  static Lanes load(const unsigned char* p) { return Lanes::load_half(p); }
  static Lanes load_some(const unsigned char* p, std::uint32_t n) {
    return Lanes::load_half_some(p, n);
  }
};

template <class Lanes>
struct bf16_element {
  static constexpr std::size_t bytes = 2;
  static Lanes load(const unsigned char* p) { return Lanes::load_bfloat(p); }
  static Lanes load_some(const unsigned char* p, std::uint32_t n) {
    return Lanes::load_bfloat_some(p, n);
  }
};

} // namespace ovir::compute::x86
