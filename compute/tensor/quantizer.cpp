// Floats to blocks. What a block's bytes mean is compute/tensor/quantized_rows.cpp and
// compute/tensor/block_decoders.cpp; here it is chosen which integers stand for the floats.
//
// Every error counts alike: nothing is known of what a matrix will meet. A scale is searched among
// some that put the largest element at or near the end of the range, each made the best for the
// integers it gives; scales that are integers themselves are then tried one higher and one lower.
// Last, the scales of a superblock are made the best for all its integers, and these chosen anew,
// as long as that helps.
#include "compute/tensor/quantizer.hpp"

#include "compute/base/exact_math.hpp"
#include "messages/check.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace ovir::compute {

namespace {

/// x to the nearest integer, ties to even, for |x| < 2^22.
float nearest(float x) {
  constexpr float magic = 0x1.8p+23F;
  return (x + magic) - magic;
}

float clamped(float x, float low, float high) { return std::clamp(nearest(x), low, high); }

/// Quotients far beyond a range are as good as its end, and `nearest` needs them small.
float quotient(float x, float d) {
  constexpr float far = 1e6F;
  return d == 0 ? 0 : std::clamp(x / d, -far, far);
}

void put_half(std::byte* out, std::uint16_t bits) { std::memcpy(out, &bits, sizeof bits); }

/// fp16 bits of a scale and what they mean. False when it is beyond fp16.
bool to_scale(float x, std::uint16_t& bits, float& value) {
  bits = float_to_half(x);
  constexpr std::uint16_t exponent = 0x7C00;
  value = (bits & exponent) == exponent ? 0 : half_to_float(bits);
  return (bits & exponent) != exponent;
}

/// Steps of a twentieth of an integer about the end of the range at which the largest element may
/// lie.
constexpr int search_steps = 20;
constexpr float search_step = 0.05F;
/// The same where a range between two ends is searched, and may be narrower than theirs.
constexpr int narrow_steps = 25;

/// The scale d for which d * q, q integers from `low` to `high`, is nearest to x.
template <std::size_t N>
float best_scale(const float* x, float low, float high) {
  const float* const largest =
      std::max_element(x, x + N, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
  if (*largest == 0) {
    return 0;
  }
  float best = 0;
  double most = -1;
  for (const float end : {low, high}) {
    for (int step = -search_steps; step <= search_steps; ++step) {
      const float d = *largest / (end + search_step * static_cast<float>(step));
      double product = 0;
      double square = 0;
      for (std::size_t i = 0; i < N; ++i) {
        const float q = clamped(quotient(x[i], d), low, high);
        product += double{x[i]} * double{q};
        square += double{q} * double{q};
      }
      // The error left by the best scale for these integers is a constant less this.
      const double gain = square > 0 ? product * product / square : 0;
      if (gain > most) {
        most = gain;
        best = square > 0 ? static_cast<float>(product / square) : 0;
      }
    }
  }
  return best;
}

bool quantize_q8_0(const float* x, std::byte* out) {
  constexpr std::size_t n = 32;
  float most = 0;
  for (std::size_t i = 0; i < n; ++i) {
    most = std::max(most, std::fabs(x[i]));
  }
  std::uint16_t bits = 0;
  float d = 0;
  const bool ok = to_scale(most / 127, bits, d);
  put_half(out, bits);
  for (std::size_t i = 0; i < n; ++i) {
    out[2 + i] =
        static_cast<std::byte>(static_cast<std::int8_t>(clamped(quotient(x[i], d), -127, 127)));
  }
  return ok;
}

/// Q4_0 and Q5_0: nibbles of elements 0..15 and 16..31, behind their fifth bits where there are
/// any.
bool quantize_symmetric(const float* x, bool fifth, std::byte* out) {
  constexpr std::size_t n = 32;
  const float low = fifth ? -16 : -8;
  std::uint16_t bits = 0;
  float d = 0;
  const bool ok = to_scale(best_scale<n>(x, low, -low - 1), bits, d);
  put_half(out, bits);
  std::array<std::uint32_t, n> q{};
  std::uint32_t high = 0;
  for (std::size_t i = 0; i < n; ++i) {
    q[i] = static_cast<std::uint32_t>(clamped(quotient(x[i], d), low, -low - 1) - low);
    high |= (q[i] >> 4U) << i;
  }
  std::byte* nibbles = out + 2;
  if (fifth) {
    std::memcpy(nibbles, &high, sizeof high);
    nibbles += sizeof high;
  }
  for (std::size_t i = 0; i < n / 2; ++i) {
    nibbles[i] = static_cast<std::byte>((q[i] & 15U) | (q[i + n / 2] & 15U) << 4U);
  }
  return ok;
}

// K-quants: superblocks of 256.
constexpr std::size_t super = 256;

/// A group of Q4_K: values are scale * q - min, q from 0 to 15, min at least 0.
struct scale_and_min {
  float scale{0};
  float min{0};
};
constexpr std::size_t q4_k_group = 32;
constexpr std::size_t q4_k_groups = super / q4_k_group;
constexpr float nibble_max = 15;
constexpr float six_bits_max = 63;

double error_of(const float* x, scale_and_min s) {
  double sum = 0;
  for (std::size_t i = 0; i < q4_k_group; ++i) {
    const float q = clamped(quotient(x[i] + s.min, s.scale), 0, nibble_max);
    const double off = double{x[i]} - (double{s.scale} * double{q} - double{s.min});
    sum += off * off;
  }
  return sum;
}

/// The best scale and min for the integers that `from` gives: the minimum of a square form in two
/// unknowns, or in one where the min would be negative.
scale_and_min fitted(const float* x, scale_and_min from) {
  constexpr double n = q4_k_group;
  double sq = 0;
  double sqq = 0;
  double sx = 0;
  double sxq = 0;
  for (std::size_t i = 0; i < q4_k_group; ++i) {
    const double q = clamped(quotient(x[i] + from.min, from.scale), 0, nibble_max);
    sq += q;
    sqq += q * q;
    sx += double{x[i]};
    sxq += double{x[i]} * q;
  }
  const double determinant = n * sqq - sq * sq;
  if (determinant > 0) {
    const double scale = (n * sxq - sq * sx) / determinant;
    const double min = (sq * sxq - sqq * sx) / determinant;
    if (scale > 0 && min >= 0) {
      return {static_cast<float>(scale), static_cast<float>(min)};
    }
  }
  return {sqq > 0 && sxq > 0 ? static_cast<float>(sxq / sqq) : 0, 0};
}

scale_and_min best_scale_and_min(const float* x) {
  const auto [lowest, highest] = std::minmax_element(x, x + q4_k_group);
  const float low = std::min(*lowest, 0.0F);
  const float range = std::max(*highest, 0.0F) - low;
  if (range == 0) {
    return {};
  }
  scale_and_min best{0, -low};
  double least = error_of(x, best);
  // A narrower range serves many elements better than the few at its ends.
  for (int step = -search_steps; step <= narrow_steps; ++step) {
    scale_and_min s{range / (nibble_max + search_step * static_cast<float>(step)), -low};
    for (int pass = 0; pass < 2; ++pass) {
      s = fitted(x, s);
      if (const double error = error_of(x, s); error < least) {
        least = error;
        best = s;
      }
    }
  }
  return best;
}

/// The twelve bytes of eight 6-bit scales and mins (unpack_q4_k_scales reads them).
void pack_q4_k_scales(const std::array<std::uint32_t, q4_k_groups>& scales,
                      const std::array<std::uint32_t, q4_k_groups>& mins, std::byte* out) {
  for (std::size_t j = 0; j < 4; ++j) {
    out[j] = static_cast<std::byte>(scales[j] | (scales[j + 4] >> 4U) << 6U);
    out[j + 4] = static_cast<std::byte>(mins[j] | (mins[j + 4] >> 4U) << 6U);
    out[j + 8] = static_cast<std::byte>((scales[j + 4] & 15U) | (mins[j + 4] & 15U) << 4U);
  }
}

/// Everything that a block of Q4_K holds.
struct q4_k_block {
  std::uint16_t d_bits{0};
  std::uint16_t dmin_bits{0};
  std::array<std::uint32_t, q4_k_groups> scales{};
  std::array<std::uint32_t, q4_k_groups> mins{};
  std::array<std::uint8_t, super> q{};
  double error{0};
};

/// The scales and mins that suit the groups best.
using q4_k_wishes = std::array<scale_and_min, q4_k_groups>;

/// The best integers for d and dmin: scales and mins about those wished for, all nine pairs.
q4_k_block rounded(const float* x, const q4_k_wishes& wishes, float d, float dmin) {
  q4_k_block out;
  for (std::size_t g = 0; g < q4_k_groups; ++g) {
    const float* const group = x + g * q4_k_group;
    const float scale = clamped(quotient(wishes[g].scale, d), 0, six_bits_max);
    const float min = clamped(quotient(wishes[g].min, dmin), 0, six_bits_max);
    double least = std::numeric_limits<double>::infinity();
    scale_and_min chosen;
    for (int by_scale = -1; by_scale <= 1; ++by_scale) {
      for (int by_min = -1; by_min <= 1; ++by_min) {
        const float s = std::clamp(scale + static_cast<float>(by_scale), 0.0F, six_bits_max);
        const float m = std::clamp(min + static_cast<float>(by_min), 0.0F, six_bits_max);
        if (const double error = error_of(group, {d * s, dmin * m}); error < least) {
          least = error;
          chosen = {d * s, dmin * m};
          out.scales[g] = static_cast<std::uint32_t>(s);
          out.mins[g] = static_cast<std::uint32_t>(m);
        }
      }
    }
    out.error += least;
    for (std::size_t i = 0; i < q4_k_group; ++i) {
      out.q[g * q4_k_group + i] = static_cast<std::uint8_t>(
          clamped(quotient(group[i] + chosen.min, chosen.scale), 0, nibble_max));
    }
  }
  return out;
}

/// The best d and dmin for a block's integers: the minimum of a square form in two unknowns.
scale_and_min refitted(const float* x, const q4_k_block& block) {
  double aa = 0;
  double ab = 0;
  double bb = 0;
  double xa = 0;
  double xb = 0;
  for (std::size_t i = 0; i < super; ++i) {
    const std::size_t g = i / q4_k_group;
    const double a = static_cast<double>(block.q[i] * block.scales[g]);
    const double b = block.mins[g];
    aa += a * a;
    ab += a * b;
    bb += b * b;
    xa += double{x[i]} * a;
    xb += double{x[i]} * b;
  }
  const double determinant = aa * bb - ab * ab;
  if (determinant > 0) {
    return {static_cast<float>((xa * bb - xb * ab) / determinant),
            static_cast<float>((xa * ab - xb * aa) / determinant)};
  }
  return {aa > 0 ? static_cast<float>(xa / aa) : 0, 0};
}

/// Rounds of fitting a block's scales to its integers and these to the scales.
constexpr int refine_rounds = 4;

bool quantize_q4_k(const float* x, std::byte* out) {
  q4_k_wishes wishes{};
  scale_and_min most;
  for (std::size_t g = 0; g < q4_k_groups; ++g) {
    wishes[g] = best_scale_and_min(x + g * q4_k_group);
    most.scale = std::max(most.scale, wishes[g].scale);
    most.min = std::max(most.min, wishes[g].min);
  }
  q4_k_block best;
  best.error = std::numeric_limits<double>::infinity();
  scale_and_min next{most.scale / six_bits_max, most.min / six_bits_max};
  for (int round = 0; round < refine_rounds; ++round) {
    std::uint16_t d_bits = 0;
    std::uint16_t dmin_bits = 0;
    float d = 0;
    float dmin = 0;
    if (!to_scale(next.scale, d_bits, d) || !to_scale(next.min, dmin_bits, dmin)) {
      return false;
    }
    q4_k_block made = rounded(x, wishes, d, dmin);
    if (made.error >= best.error) {
      break;
    }
    best = made;
    best.d_bits = d_bits;
    best.dmin_bits = dmin_bits;
    next = refitted(x, best);
    if (next.scale <= 0 || next.min < 0) {
      break;
    }
  }
  put_half(out, best.d_bits);
  put_half(out + 2, best.dmin_bits);
  pack_q4_k_scales(best.scales, best.mins, out + 4);
  for (std::size_t i = 0; i < super / 2; ++i) {
    const std::size_t low = i / q4_k_group * 2 * q4_k_group + i % q4_k_group;
    out[16 + i] = static_cast<std::byte>(best.q[low] | best.q[low + q4_k_group] << 4U);
  }
  return true;
}

constexpr std::size_t q6_k_group = 16;
constexpr std::size_t q6_k_groups = super / q6_k_group;

/// Everything that a block of Q6_K holds.
struct q6_k_block {
  std::uint16_t d_bits{0};
  std::array<float, q6_k_groups> scales{};
  std::array<float, super> q{}; ///< -32..31
  double error{0};
};

using q6_k_wishes = std::array<float, q6_k_groups>;

/// The best integers for d: scales about those wished for.
q6_k_block rounded(const float* x, const q6_k_wishes& wishes, float d) {
  constexpr float low = -32;
  constexpr float high = 31;
  q6_k_block out;
  for (std::size_t g = 0; g < q6_k_groups; ++g) {
    const float* const group = x + g * q6_k_group;
    const float scale = clamped(quotient(wishes[g], d), -128, 127);
    double least = std::numeric_limits<double>::infinity();
    for (int by = -1; by <= 1; ++by) {
      const float s = std::clamp(scale + static_cast<float>(by), -128.0F, 127.0F);
      double error = 0;
      for (std::size_t i = 0; i < q6_k_group; ++i) {
        const float q = clamped(quotient(group[i], d * s), low, high);
        const double off = double{group[i]} - double{d * s} * double{q};
        error += off * off;
      }
      if (error < least) {
        least = error;
        out.scales[g] = s;
      }
    }
    out.error += least;
    for (std::size_t i = 0; i < q6_k_group; ++i) {
      out.q[g * q6_k_group + i] = clamped(quotient(group[i], d * out.scales[g]), low, high);
    }
  }
  return out;
}

/// The best d for a block's integers; `otherwise` when they are all zero.
float refitted(const float* x, const q6_k_block& block, float otherwise) {
  double product = 0;
  double square = 0;
  for (std::size_t i = 0; i < super; ++i) {
    const std::size_t g = i / q6_k_group;
    const double a = double{block.scales[g]} * double{block.q[i]};
    product += double{x[i]} * a;
    square += a * a;
  }
  return square > 0 ? static_cast<float>(product / square) : otherwise;
}

void put_q6_k(const q6_k_block& block, std::byte* out) {
  std::memset(out, 0, 208);
  put_half(out + 208, block.d_bits);
  for (std::size_t g = 0; g < q6_k_groups; ++g) {
    out[192 + g] = static_cast<std::byte>(static_cast<std::int8_t>(block.scales[g]));
  }
  for (std::size_t at = 0; at < super; ++at) {
    const auto q = static_cast<std::uint32_t>(block.q[at] + 32);
    // Two halves of 128 elements, in each four runs of 32: see decode_q6_k.
    const std::size_t half = at / 128;
    const std::size_t run = at % 128 / 32;
    const std::size_t lane = at % 32;
    out[half * 64 + run % 2 * 32 + lane] |=
        static_cast<std::byte>((q & 15U) << (run < 2 ? 0U : 4U));
    out[128 + half * 32 + lane] |= static_cast<std::byte>((q >> 4U) << (2 * run));
  }
}

bool quantize_q6_k(const float* x, std::byte* out) {
  q6_k_wishes wishes{};
  float largest = 0;
  for (std::size_t g = 0; g < q6_k_groups; ++g) {
    wishes[g] = best_scale<q6_k_group>(x + g * q6_k_group, -32, 31);
    largest = std::fabs(wishes[g]) > std::fabs(largest) ? wishes[g] : largest;
  }
  q6_k_block best;
  best.error = std::numeric_limits<double>::infinity();
  float next = largest / -128;
  for (int round = 0; round < refine_rounds; ++round) {
    std::uint16_t d_bits = 0;
    float d = 0;
    if (!to_scale(next, d_bits, d)) {
      return false;
    }
    q6_k_block made = rounded(x, wishes, d);
    if (made.error >= best.error) {
      break;
    }
    best = made;
    best.d_bits = d_bits;
    next = refitted(x, best, next);
  }
  put_q6_k(best, out);
  return true;
}

bool to_halves(std::span<const float> x, std::byte* out) {
  bool ok = true;
  for (std::size_t i = 0; i < x.size(); ++i) {
    std::uint16_t bits = 0;
    float value = 0;
    ok = to_scale(x[i], bits, value) && ok;
    put_half(out + 2 * i, bits);
  }
  return ok;
}

} // namespace

bool can_quantize(tensor_type type) noexcept {
  switch (type) {
  case tensor_type::f32:
  case tensor_type::f16:
  case tensor_type::q8_0:
  case tensor_type::q4_0:
  case tensor_type::q5_0:
  case tensor_type::q4_k:
  case tensor_type::q6_k: return true;
  default: return false;
  }
}

bool quantize_row(tensor_type type, std::span<const float> x, std::byte* out) {
  const tensor_layout layout = layout_of(type);
  OVIR_CHECK(can_quantize(type) && x.size() % layout.block_elements == 0, x.size());
  if (type == tensor_type::f32) {
    std::memcpy(out, x.data(), x.size_bytes());
    return true;
  }
  if (type == tensor_type::f16) {
    return to_halves(x, out);
  }
  bool ok = true;
  for (std::size_t at = 0; at < x.size(); at += layout.block_elements, out += layout.block_bytes) {
    const float* const block = x.data() + at;
    switch (type) {
    case tensor_type::q8_0: ok = quantize_q8_0(block, out) && ok; break;
    case tensor_type::q4_0: ok = quantize_symmetric(block, false, out) && ok; break;
    case tensor_type::q5_0: ok = quantize_symmetric(block, true, out) && ok; break;
    case tensor_type::q4_k: ok = quantize_q4_k(block, out) && ok; break;
    default: ok = quantize_q6_k(block, out) && ok; break;
    }
  }
  return ok;
}

} // namespace ovir::compute
