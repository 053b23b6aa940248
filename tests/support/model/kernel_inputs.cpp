#include "tests/support/model/kernel_inputs.hpp"

#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/tensor/quantized_rows.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace ovir::test {

using compute::activation_form;
using compute::tensor_type;

namespace {

std::uint64_t chosen_seed(std::uint64_t seed) {
  const char* wanted = std::getenv("OVIR_SEED");
  return wanted == nullptr ? seed : std::strtoull(wanted, nullptr, 10);
}

void put_half(std::byte* at, std::uint16_t bits) { std::memcpy(at, &bits, sizeof bits); }

/// All weights and scales of a block at one end of their range.
void fill_largest(kernel_random& random, tensor_type type, std::byte* block, std::size_t size) {
  const bool low = random.below(2) == 0;
  std::memset(block, low ? 0x00 : 0xFF, size);
  if (type == tensor_type::q8_0) {
    std::memset(block, low ? 0x80 : 0x7F, size);
  } else if (type == tensor_type::q4_k) {
    std::memset(block + 4, 0xFF, 12); // every sc and mn 63
  } else if (type == tensor_type::q6_k) {
    std::memset(block + 192, random.below(2) == 0 ? 0x80 : 0x7F, 16);
  } else if (type == tensor_type::q5_k) {
    std::memset(block + 4, 0xFF, 12);
  } else if (type == tensor_type::q2_k) {
    std::memset(block, 0xFF, 16);
  } else if (type == tensor_type::iq4_xs) {
    std::memset(block + 2, random.below(2) == 0 ? 0x00 : 0xFF, 6); // scales of -32 or 31
  }
}

} // namespace

kernel_random::kernel_random(std::uint64_t seed) : seed_(chosen_seed(seed)), engine_(seed_) {}

float kernel_random::in(float low, float high) {
  return low + (high - low) * static_cast<float>(below(1U << 24U)) * 0x1p-24F;
}

float kernel_random::any_finite() {
  constexpr std::uint32_t exponent_bits = 0x7F800000;
  auto bits = static_cast<std::uint32_t>(next());
  while ((bits & exponent_bits) == exponent_bits) {
    bits = static_cast<std::uint32_t>(next());
  }
  return std::bit_cast<float>(bits);
}

std::vector<float> kernel_random::floats(std::size_t n, float magnitude) {
  std::vector<float> out(n);
  for (float& x : out) {
    x = in(-magnitude, magnitude);
  }
  return out;
}

std::uint16_t kernel_random::half(std::uint16_t most) {
  const auto magnitude = static_cast<std::uint16_t>(below(most + 1U));
  return static_cast<std::uint16_t>(magnitude | (below(2) << 15U));
}

owned_weight make_quantized(kernel_random& random, tensor_type type, std::uint32_t rows,
                            std::uint32_t cols, filling how, std::uint16_t scale_most) {
  const compute::tensor_layout layout = compute::layout_of(type);
  owned_weight out;
  out.view = {.type = type, .rows = rows, .cols = cols, .data = nullptr, .wide = false};
  out.bytes.resize(out.view.row_bytes() * rows);
  for (std::size_t at = 0; at < out.bytes.size(); at += layout.block_bytes) {
    std::byte* block = out.bytes.data() + at;
    for (std::size_t i = 0; i < layout.block_bytes; ++i) {
      block[i] = static_cast<std::byte>(random.next());
    }
    if (how == filling::largest) {
      fill_largest(random, type, block, layout.block_bytes);
    }
    if (type == tensor_type::mxfp4) {
      // Of moderate scales as many bits as of the others, of all finite ones all.
      constexpr std::uint16_t all_finite = 0x7BFF;
      const std::uint32_t most = scale_most == all_finite
                                     ? compute::mxfp4_exponent_max - compute::mxfp4_exponent_min
                                     : 1U + (std::uint32_t{scale_most} >> 10U);
      block[0] = static_cast<std::byte>(compute::mxfp4_exponent_min +
                                        (how == filling::largest ? most : random.below(most + 1)));
      continue;
    }
    const compute::tensor_row& places = *compute::row_of(type);
    for (const std::size_t place : {places.d_at, places.dmin_at.value_or(places.d_at)}) {
      std::uint16_t bits = random.half(scale_most);
      if (how == filling::largest) {
        bits = static_cast<std::uint16_t>(scale_most | (bits & 0x8000U));
      } else if (how == filling::zeros) {
        bits &= 0x8000U;
      }
      put_half(block + place, bits);
    }
  }
  out.view.data = out.bytes.data();
  return out;
}

owned_weight make_floats(kernel_random& random, tensor_type type, std::uint32_t rows,
                         std::uint32_t cols) {
  owned_weight out;
  out.view = {.type = type, .rows = rows, .cols = cols, .data = nullptr, .wide = false};
  out.bytes.resize(out.view.row_bytes() * rows);
  for (std::size_t i = 0; i < std::size_t{rows} * cols; ++i) {
    if (type == tensor_type::f32) {
      const float x = random.in(-2, 2);
      std::memcpy(out.bytes.data() + 4 * i, &x, sizeof x);
    } else if (type == tensor_type::f16) {
      put_half(out.bytes.data() + 2 * i, random.half(0x4400));
    } else {
      put_half(out.bytes.data() + 2 * i, random.half(0x4080));
    }
  }
  out.view.data = out.bytes.data();
  return out;
}

compute::quantized_batch make_batch(kernel_random& random, activation_form form,
                                    std::uint32_t tokens, std::uint32_t cols, filling how) {
  compute::quantized_batch out;
  out.reshape(form, tokens, cols);
  const bool largest = how == filling::largest;
  for (std::size_t i = 0; i < std::size_t{tokens} * cols; ++i) {
    const int sign = random.below(2) == 0 ? -1 : 1;
    // One sign per token, most of the time: sums of equal signs are the largest.
    const int even_sign = i / cols % 2 == 0 ? 1 : -1;
    const int q = largest ? 127 * (random.below(64) == 0 ? sign : even_sign)
                          : static_cast<int>(random.below(255)) - 127;
    out.q[i] = static_cast<std::int8_t>(how == filling::zeros ? 0 : q);
  }
  for (std::int32_t& k : out.k) {
    k = largest ? 4095 : static_cast<std::int32_t>(1 + random.below(4095));
  }
  for (std::size_t j = 0; j < out.m.size(); ++j) {
    out.m[j] = form == activation_form::a32 ? 1
               : largest                    ? 63
                                            : static_cast<std::int32_t>(1 + random.below(63));
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      sum += out.q[j * 32 + i];
    }
    out.sum[j] = sum;
  }
  for (float& u : out.u) {
    u = std::bit_cast<float>((27U + random.below(200)) << 23U); // 2^-100 to 2^99
  }
  return out;
}

std::vector<std::byte> packed(const compute::weight& w) {
  std::vector<std::byte> bytes(compute::packed_bytes(w));
  const std::size_t panel = compute::packed_panel_bytes(w.type, w.cols);
  for (std::uint32_t i = 0; i * compute::packed_rows < w.rows; ++i) {
    compute::pack_panel(w, i, bytes.data() + i * panel);
  }
  return bytes;
}

void expect_same(const std::vector<float>& got, const std::vector<float>& wanted,
                 const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(got[i]) && std::isnan(wanted[i])) {
      continue;
    }
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got[i]), std::bit_cast<std::uint32_t>(wanted[i]))
        << what << ": element " << i << " is " << got[i] << ", not " << wanted[i];
  }
}

} // namespace ovir::test
