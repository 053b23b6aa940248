#pragma once

#include "compute/base/exact_constants.hpp"
#include "compute/kernels/x86/kernels.hpp"

/// The float operations of exact-1 over sixteen lanes, written once for both instruction sets.
/// `Lanes` (lanes_avx2.hpp, lanes_avx512.hpp) is a type of an anonymous namespace, so each
/// instantiation is private to its file. Every function follows the reference operation by
/// operation; only independent elements and positions change places.
namespace ovir::compute::x86 {

inline constexpr std::uint32_t stripes = 16;

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

/// The largest magnitude of elements [first, cols), or infinity when any of them is not finite.
template <class Lanes>
float largest_from(const float* x, std::uint32_t cols, std::uint32_t first) {
  float largest = 0;
  for (std::uint32_t i = first; i < cols; i += quantized_block) {
    const float block = Lanes::largest_of_32(x + i);
    largest = block > largest ? block : largest;
  }
  return largest;
}

/// Sets a token's unit by its largest magnitude; false when that is not finite.
template <class Lanes>
bool unit_for(float largest, const quantized_row& out) {
  if (largest > 0x1.fffffep+127F) {
    return false;
  }
  // Rounded division is monotone, so the largest scale is that of the largest element.
  const float scale = largest / 127.0F;
  *out.u = unit_of<Lanes>(out.a256 ? scale / 63.0F : scale);
  return true;
}

/// Quantises from column `begin` on, where a block of scales begins, once the unit is known.
template <class Lanes>
void quantize_from(const float* x, const quantized_row& out, std::uint32_t begin) {
  const float u = *out.u;
  const std::uint32_t width = out.a256 ? quantized_superblock : quantized_block;
  for (std::uint32_t first = begin; first < out.cols; first += width) {
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
}

template <class Lanes>
bool quantize(const float* x, const quantized_row& out) {
  if (!unit_for<Lanes>(largest_from<Lanes>(x, out.cols, 0), out)) {
    return false;
  }
  quantize_from<Lanes>(x, out, 0);
  return true;
}

template <class Lanes>
void remainder(const float* x, const batch_view& batch, std::uint32_t token, float* out) {
  const std::int8_t* const q = batch.q + std::size_t{token} * batch.cols;
  const std::int32_t* const k = batch.k + std::size_t{token} * batch.scales;
  const std::int32_t* const m = batch.m + std::size_t{token} * (batch.cols / quantized_block);
  const std::uint32_t width = batch.cols / batch.scales;
  for (std::uint32_t i = 0; i < batch.cols; i += quantized_block) {
    const float ku = static_cast<float>(k[i / width]) * batch.u[token];
    Lanes::remainder_32(x + i, static_cast<float>(m[i / quantized_block]) * ku, q + i, out + i);
  }
}

} // namespace ovir::compute::x86
