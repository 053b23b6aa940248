#include "compute/make/synth_blocks.hpp"

#include "compute/base/exact_math.hpp"
#include "messages/check.hpp"

#include <cmath>
#include <cstring>

namespace ovir::compute {

static_assert(std::endian::native == std::endian::little, "blocks are written in memory order");

namespace {

// Standard deviations of what the encodings hold when their bits are uniform: of an integer in
// [-128, 127], of one in [0, 15], of one in [0, 63] and of a sum of four bytes. Rounded: they only
// set a size.
constexpr double deviation_of_byte = 73.9;
constexpr double deviation_of_nibble = 4.61;
constexpr double mean_of_nibble = 7.5;
constexpr double deviation_of_six_bits = 18.5;
constexpr double deviation_of_five_bits = 9.23;
constexpr double mean_of_five_bits = 15.5;
constexpr double deviation_of_two_bits = 1.12;
constexpr double mean_of_two_bits = 1.5;
constexpr double deviation_of_four_bytes = 147.8;
constexpr std::int32_t mean_of_four_bytes = 510;

// Sub-block scales of the K-quants lie in [first, first + count), both chosen powers of two.
constexpr std::uint32_t sub_scale_first = 32;
constexpr std::uint32_t sub_scale_count = 32;
constexpr double sub_scale_mean = 47.5;
constexpr double small_scale_mean = 11.5; // of Q2_K, from 8 to 15

// Q3_K and IQ4_XS: scales from -32 to 31 times weights from -4 to 3, or times a level of IQ4.
constexpr double deviation_of_q3_k = 43.5;
constexpr double deviation_of_iq4_xs = 1246;

std::uint64_t splitmix(std::uint64_t& state) {
  state += 0x9E3779B97F4A7C15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31U);
}

template <class T>
void store(std::byte* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

std::uint16_t float_to_bfloat(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U);
}

std::uint32_t encoded(tensor_type type, float value) {
  switch (type) {
  case tensor_type::f16: return float_to_half(value);
  case tensor_type::bf16: return float_to_bfloat(value);
  default: return std::bit_cast<std::uint32_t>(value);
  }
}

double scale_for(tensor_type type, double deviation) {
  switch (type) {
  case tensor_type::q8_0: return deviation / deviation_of_byte;
  case tensor_type::q4_0: return deviation / deviation_of_nibble;
  case tensor_type::q4_k: return deviation / (deviation_of_nibble * sub_scale_mean);
  case tensor_type::q5_k: return deviation / (deviation_of_five_bits * sub_scale_mean);
  case tensor_type::q2_k: return deviation / (deviation_of_two_bits * small_scale_mean);
  case tensor_type::q3_k: return deviation / deviation_of_q3_k;
  case tensor_type::iq4_xs: return deviation / deviation_of_iq4_xs;
  case tensor_type::q6_k: return deviation / (deviation_of_six_bits * sub_scale_mean);
  default: return 0;
  }
}

/// What weights are on average before the minimum is taken off.
double mean_of(tensor_type type) {
  switch (type) {
  case tensor_type::q5_k: return mean_of_five_bits;
  case tensor_type::q2_k: return mean_of_two_bits;
  default: return mean_of_nibble;
  }
}

} // namespace

synth_random::synth_random(std::uint64_t seed, std::uint64_t stream) noexcept {
  std::uint64_t mixed = stream;
  std::uint64_t state = seed ^ splitmix(mixed);
  for (std::uint64_t& word : state_) {
    word = splitmix(state);
  }
}

void synth_random::fill(std::span<std::byte> out) noexcept {
  std::size_t at = 0;
  for (; at + 8 <= out.size(); at += 8) {
    store(&out[at], next());
  }
  if (at < out.size()) {
    const std::uint64_t last = next();
    std::memcpy(&out[at], &last, out.size() - at);
  }
}

synth_blocks::synth_blocks(tensor_type type, double deviation) : type_(type) {
  const double scale = scale_for(type, deviation);
  for (std::size_t i = 0; i < scales_.size(); ++i) {
    // From 3/4 to 5/4 of the scale.
    const double spread = 0.75 + static_cast<double>(i) / 512.0;
    scales_[i] = float_to_half(static_cast<float>(scale * spread));
    mins_[i] = float_to_half(half_to_float(scales_[i]) * static_cast<float>(mean_of(type)));
  }
  for (std::size_t sum = 0; sum < values_.size(); ++sum) {
    const auto centred = static_cast<std::int32_t>(sum) - mean_of_four_bytes;
    const double value = deviation / deviation_of_four_bytes * centred;
    values_[sum] = encoded(type, static_cast<float>(value));
  }
}

void synth_blocks::fill(synth_random& random, std::span<std::byte> out) const {
  OVIR_CHECK(out.size() % layout_of(type_).block_bytes == 0, out.size());
  switch (type_) {
  case tensor_type::f32:
  case tensor_type::f16:
  case tensor_type::bf16: return fill_floats(random, out);
  case tensor_type::q8_0: return fill_q8_0(random, out);
  case tensor_type::q4_0: return fill_q4_0(random, out);
  case tensor_type::q4_k:
  case tensor_type::q5_k: return fill_q4_k_or_q5_k(random, out);
  case tensor_type::q2_k: return fill_q2_k(random, out);
  case tensor_type::q3_k:
  case tensor_type::iq4_xs: return fill_signed(random, out);
  case tensor_type::q6_k: return fill_q6_k(random, out);
  default: OVIR_CHECK(false, static_cast<std::uint32_t>(type_)); // no synth_quantization has others
  }
}

void synth_blocks::fill_floats(synth_random& random, std::span<std::byte> out) const {
  const std::size_t bytes = layout_of(type_).block_bytes;
  std::uint64_t drawn = 0;
  for (std::size_t i = 0; i < out.size() / bytes; ++i) {
    drawn = i % 2 == 0 ? random.next() : drawn >> 32U;
    // The sum of four bytes is close enough to a normal distribution.
    const std::uint64_t sum =
        (drawn & 255U) + ((drawn >> 8U) & 255U) + ((drawn >> 16U) & 255U) + ((drawn >> 24U) & 255U);
    std::memcpy(&out[i * bytes], &values_[sum], bytes);
  }
}

void synth_blocks::fill_q8_0(synth_random& random, std::span<std::byte> out) const {
  constexpr std::size_t block = 34;
  for (std::size_t at = 0; at < out.size(); at += block) {
    store(&out[at], scales_[random.next() >> 56U]);
    random.fill(out.subspan(at + 2, block - 2));
  }
}

void synth_blocks::fill_q4_0(synth_random& random, std::span<std::byte> out) const {
  constexpr std::size_t block = 18;
  for (std::size_t at = 0; at < out.size(); at += block) {
    // Scales of both signs, as trained models have them; they also cancel the mean of -1/2.
    const std::uint64_t drawn = random.next();
    const auto sign = static_cast<std::uint16_t>((drawn & 1U) << 15U);
    store(&out[at], static_cast<std::uint16_t>(scales_[drawn >> 56U] | sign));
    random.fill(out.subspan(at + 2, block - 2));
  }
}

void synth_blocks::fill_q4_k_or_q5_k(synth_random& random, std::span<std::byte> out) const {
  // fp16 d, fp16 dmin, 12 bytes with eight 6-bit scales and eight 6-bit minimums, then weights.
  // Scale and minimum of a sub-block are the same number, and dmin is 7.5 d, so the weights
  // d*sc*q - dmin*sc with q in [0, 15] are centred; of Q5_K 15.5 d, q in [0, 31].
  const std::size_t block = layout_of(type_).block_bytes;
  for (std::size_t at = 0; at < out.size(); at += block) {
    const std::uint64_t drawn = random.next();
    const std::size_t choice = drawn >> 56U;
    store(&out[at], scales_[choice]);
    store(&out[at + 2], mins_[choice]);
    std::array<std::uint8_t, 8> sub{};
    for (std::size_t j = 0; j < sub.size(); ++j) {
      sub[j] =
          static_cast<std::uint8_t>(sub_scale_first + ((drawn >> (5 * j)) & (sub_scale_count - 1)));
    }
    for (std::size_t j = 0; j < 4; ++j) {
      // Bytes 0-3: scales 0-3 and the high bits of scales 4-7; bytes 4-7 the same of the minimums;
      // bytes 8-11: low four bits of scale and minimum 4-7.
      const auto low = static_cast<std::byte>(sub[j] | (sub[j + 4] >> 4U << 6U));
      out[at + 4 + j] = low;
      out[at + 8 + j] = low;
      out[at + 12 + j] = static_cast<std::byte>((sub[j + 4] & 15U) | (sub[j + 4] & 15U) << 4U);
    }
    random.fill(out.subspan(at + 16, block - 16));
  }
}

void synth_blocks::fill_q6_k(synth_random& random, std::span<std::byte> out) const {
  // 128 bytes of low nibbles, 64 of high bit pairs, 16 signed scales, fp16 d.
  constexpr std::size_t block = 210;
  for (std::size_t at = 0; at < out.size(); at += block) {
    random.fill(out.subspan(at, 192));
    const std::uint64_t signs = random.next();
    const std::uint64_t sizes = random.next();
    for (std::size_t j = 0; j < 16; ++j) {
      const auto size = static_cast<std::int32_t>(sub_scale_first + ((sizes >> (4 * j)) & 15U) * 2);
      const bool negative = ((signs >> j) & 1U) != 0;
      out[at + 192 + j] = static_cast<std::byte>(negative ? -size : size);
    }
    store(&out[at + 208], scales_[signs >> 56U]);
  }
}

void synth_blocks::fill_q2_k(synth_random& random, std::span<std::byte> out) const {
  // 16 bytes of a scale and a minimum, the same number from 8 to 15, 64 of pairs of bits, d, dmin.
  constexpr std::size_t block = 84;
  for (std::size_t at = 0; at < out.size(); at += block) {
    random.fill(out.subspan(at, 80));
    for (std::size_t g = 0; g < 16; ++g) {
      const auto scale = (std::to_integer<std::uint32_t>(out[at + g]) & 7U) | 8U;
      out[at + g] = static_cast<std::byte>(scale | scale << 4U);
    }
    const std::size_t choice = random.next() >> 56U;
    store(&out[at + 80], scales_[choice]);
    store(&out[at + 82], mins_[choice]);
  }
}

void synth_blocks::fill_signed(synth_random& random, std::span<std::byte> out) const {
  // Scales of either sign are as likely, so any bits will do.
  const std::size_t block = layout_of(type_).block_bytes;
  const std::size_t d_at = type_ == tensor_type::q3_k ? 108 : 0;
  for (std::size_t at = 0; at < out.size(); at += block) {
    random.fill(out.subspan(at, block));
    store(&out[at + d_at], scales_[random.next() >> 56U]);
  }
}

} // namespace ovir::compute
