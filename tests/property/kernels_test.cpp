// Every function of every kernel set this processor runs, against the reference, bit for bit.
#include "compute/kernels/formats/packed_weights.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/weight_bounds.hpp"
#include "tests/support/model/kernel_inputs.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace ovir::compute {
namespace {

using test::expect_same;
using test::filling;
using test::kernel_random;
using test::make_batch;
using test::make_floats;
using test::make_quantized;
using test::owned_weight;
using test::packed;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float untouched = 12345.678F;

class kernels : public testing::TestWithParam<const kernel_set*> {
protected:
  const kernel_set& set() const { return *GetParam(); }
  const kernel_set& reference() const { return kernels_reference(); }
};

struct rows {
  std::uint32_t first;
  std::uint32_t last;
};

/// Products with rows [first, last), the rest of y as a guard.
std::vector<float> product_of(const kernel_set& set, const weight& w, rows range,
                              const quantized_batch& x) {
  const std::size_t stride = w.rows + 3;
  std::vector<float> y(stride * x.tokens, untouched);
  set.product(w, range.first, range.last, x, y.data(), stride, nullptr);
  return y;
}

std::string name_of_case(const weight& w, rows range, const quantized_batch& x) {
  return std::string{name_of(w.type)} + " rows " + std::to_string(range.first) + ".." +
         std::to_string(range.last) + " cols " + std::to_string(w.cols) + " tokens " +
         std::to_string(x.tokens);
}

/// `set` multiplies as the reference does, with the file's bytes and with packed ones.
void compare_products(const kernel_set& set, const weight& w, rows range,
                      const quantized_batch& x) {
  const std::vector<float> wanted = product_of(kernels_reference(), w, range, x);
  const std::string name = name_of_case(w, range, x);
  expect_same(product_of(set, w, range, x), wanted, name);
  const std::vector<std::byte> bytes = packed(w);
  weight view = w;
  view.packed = bytes.data();
  expect_same(product_of(set, view, range, x), wanted, name + " packed");
}

constexpr std::array quantized_types{tensor_type::q8_0,    tensor_type::q4_0,   tensor_type::q4_k,
                                     tensor_type::q6_k,    tensor_type::q4_1,   tensor_type::q5_0,
                                     tensor_type::q5_1,    tensor_type::iq4_nl, tensor_type::q2_k,
                                     tensor_type::q3_k,    tensor_type::q5_k,   tensor_type::iq4_xs,
                                     tensor_type::iq2_xxs, tensor_type::iq2_xs, tensor_type::iq2_s,
                                     tensor_type::iq3_xxs, tensor_type::iq3_s,  tensor_type::mxfp4};
constexpr std::uint16_t moderate_scale = 0x1C00; // 2^-8
constexpr std::uint16_t subnormal_scale = 0x03FF;

TEST_P(kernels, multiply_every_shape_of_quantized_weights_exactly) {
  kernel_random random{1};
  RecordProperty("seed", std::to_string(random.seed()));
  for (const tensor_type type : quantized_types) {
    const std::uint32_t block = layout_of(type).block_elements;
    for (std::uint32_t blocks : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 9U, 11U, 31U, 33U, 37U}) {
      if (block == 256 && blocks > 11) {
        continue;
      }
      for (const std::uint32_t tokens : {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 9U, 11U, 16U, 21U}) {
        const std::uint32_t count = 1 + random.below(37);
        const owned_weight w =
            make_quantized(random, type, count, blocks * block, filling::random, moderate_scale);
        const quantized_batch x =
            make_batch(random, form_for(type), tokens, blocks * block, filling::random);
        const std::uint32_t first = random.below(count);
        for (const rows range :
             {rows{0, count}, rows{first, count}, rows{0, first}, rows{first, first + 1}}) {
          compare_products(set(), w.view, range, x);
          ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
        }
      }
    }
  }
}

/// One series of products in runs of rows. Each type meets two inputs, one of them as rows of
/// the file, too; the next type begins with the input that the one before ended with.
TEST_P(kernels, multiply_in_a_series_as_they_do_alone) {
  kernel_random random{5};
  RecordProperty("seed", std::to_string(random.seed()));
  constexpr std::uint32_t cols = 1280;
  constexpr std::uint32_t count = 53;
  struct turn {
    std::size_t input;
    bool packed;
  };
  constexpr std::array turns{turn{0, true},  turn{1, true}, turn{0, true},
                             turn{1, false}, turn{1, true}, turn{0, true}};
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    for (const std::uint32_t tokens : {1U, 3U, 8U, 128U, 129U}) {
      const std::array inputs{make_batch(random, form, tokens, cols, filling::random),
                              make_batch(random, form, tokens + 1, cols, filling::random)};
      preparation kept;
      for (const tensor_type type : quantized_types) {
        if (form_for(type) != form) {
          continue;
        }
        const owned_weight w =
            make_quantized(random, type, count, cols, filling::random, moderate_scale);
        const std::vector<std::byte> bytes = packed(w.view);
        for (const turn& now : turns) {
          weight view = w.view;
          view.packed = now.packed ? bytes.data() : nullptr;
          const quantized_batch& x = inputs[now.input];
          std::vector<float> y(std::size_t{count} * x.tokens, untouched);
          for (const rows range : {rows{0, 16}, rows{48, count}, rows{16, 48}}) {
            set().product(view, range.first, range.last, x, y.data(), count, &kept);
          }
          std::vector<float> wanted(y.size(), untouched);
          reference().product(view, 0, count, x, wanted.data(), count, nullptr);
          expect_same(y, wanted, name_of_case(view, {0, count}, x));
          ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
        }
      }
    }
  }
}

TEST_P(kernels, multiply_more_tokens_than_one_pass_keeps) {
  kernel_random random{2};
  for (const tensor_type type : quantized_types) {
    const owned_weight w = make_quantized(random, type, 19, 1280, filling::random, moderate_scale);
    for (const std::uint32_t tokens : {127U, 128U, 129U, 265U}) {
      const quantized_batch x = make_batch(random, form_for(type), tokens, 1280, filling::random);
      const rows range{0, 19};
      compare_products(set(), w.view, range, x);
      ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
    }
  }
}

TEST_P(kernels, multiply_the_largest_weights_and_activations_that_are_not_wide) {
  kernel_random random{3};
  for (const tensor_type type : quantized_types) {
    const std::uint32_t block = layout_of(type).block_elements;
    for (const std::uint32_t blocks : {1U, 2U, 5U, 9U}) {
      // The largest fp16 below 2^-5 is D = 2^19 - 2^8; halved until the row's sum fits.
      std::uint16_t most = 0x27FF;
      owned_weight w = make_quantized(random, type, 21, blocks * block, filling::largest, most);
      while (bounds_of_rows(w.view, 0, 21).wide) {
        most = static_cast<std::uint16_t>(most - 0x0400);
        w = make_quantized(random, type, 21, blocks * block, filling::largest, most);
      }
      ASSERT_GE(most, 0x0C00);
      for (const std::uint32_t tokens : {1U, 2U, 3U, 4U, 13U, 20U}) {
        const quantized_batch x =
            make_batch(random, form_for(type), tokens, blocks * block, filling::largest);
        compare_products(set(), w.view, {0, 21}, x);
        ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
      }
    }
  }
}

/// The q of block `block` of token `token`, all of one sign, sum to `total`.
void set_block(quantized_batch& x, std::uint32_t token, std::uint32_t block, int total) {
  const std::size_t at = std::size_t{token} * (x.cols / 32) + block;
  x.sum[at] = total;
  for (std::size_t i = 0; i < 32; ++i) {
    const int part = std::clamp(total, -127, 127);
    x.q[at * 32 + i] = static_cast<std::int8_t>(part);
    total -= part;
  }
}

// Weights of up to 15 times q that sum to 2184 are the last to fit 16 bits, which some kernels use.
TEST_P(kernels, multiply_on_both_sides_of_sixteen_bits) {
  kernel_random random{15};
  for (const tensor_type type : quantized_types) {
    if (form_for(type) != activation_form::a256) {
      continue;
    }
    const owned_weight w = make_quantized(random, type, 17, 512, filling::largest, moderate_scale);
    for (std::uint32_t block = 0; block < 16; ++block) {
      for (const int total : {2184, 2185, 4064, -2184, -2185}) {
        quantized_batch x = make_batch(random, activation_form::a256, 8, 512, filling::zeros);
        for (std::uint32_t token = 0; token < x.tokens; ++token) {
          set_block(x, token, block, token == block % 8 ? total : total < 0 ? -2184 : 2184);
        }
        compare_products(set(), w.view, {0, 17}, x);
        ASSERT_FALSE(HasFatalFailure()) << "block " << block << ", " << total;
      }
    }
  }
}

TEST_P(kernels, take_scales_of_blocks_of_32_up_to_31_bits) {
  kernel_random random{4};
  constexpr std::uint16_t below_128 = 0x57FF;
  for (const tensor_type type : {tensor_type::q8_0, tensor_type::q4_0}) {
    for (const std::uint32_t tokens : {1U, 4U, 12U}) {
      const owned_weight w = make_quantized(random, type, 17, 32, filling::largest, below_128);
      const quantized_batch x =
          make_batch(random, activation_form::a32, tokens, 32, filling::largest);
      compare_products(set(), w.view, {0, 17}, x);
    }
  }
}

TEST_P(kernels, multiply_zero_and_subnormal_scales_and_zero_vectors) {
  kernel_random random{5};
  for (const tensor_type type : quantized_types) {
    for (const filling weights : {filling::zeros, filling::random}) {
      for (const filling activations : {filling::zeros, filling::random}) {
        for (const std::uint32_t tokens : {1U, 3U, 10U}) {
          const owned_weight w = make_quantized(random, type, 18, 512, weights, subnormal_scale);
          const quantized_batch x = make_batch(random, form_for(type), tokens, 512, activations);
          compare_products(set(), w.view, {1, 18}, x);
        }
      }
    }
  }
}

TEST_P(kernels, multiply_wide_rows_as_the_reference_does) {
  kernel_random random{6};
  constexpr std::uint16_t largest_half = 0x7BFF;
  for (const tensor_type type : quantized_types) {
    owned_weight w = make_quantized(random, type, 5, 512, filling::largest, largest_half);
    w.view.wide = true;
    const quantized_batch x = make_batch(random, form_for(type), 6, 512, filling::largest);
    compare_products(set(), w.view, {1, 4}, x);
  }
}

/// Products of float weights with rows [first, last), the rest of y as a guard.
std::vector<float> float_product_of(const kernel_set& set, const weight& w, rows range,
                                    const std::vector<float>& x, std::size_t x_stride,
                                    std::uint32_t tokens) {
  const std::size_t stride = w.rows + 2;
  std::vector<float> y(stride * tokens, untouched);
  set.product_float(w, range.first, range.last, x.data(), x_stride, tokens, y.data(), stride);
  return y;
}

constexpr std::array float_types{tensor_type::f32, tensor_type::f16, tensor_type::bf16};

TEST_P(kernels, sum_packed_float_weights_in_sixteen_stripes) {
  kernel_random random{27};
  for (const tensor_type type : float_types) {
    for (const std::uint32_t cols :
         {1U, 15U, 16U, 17U, 31U, 64U, 127U, 128U, 129U, 300U, 512U, 1113U}) {
      // From 32 on, tiles may have twice as many tokens; what is left of them is 0 to 5.
      for (const std::uint32_t tokens : {1U,  2U,  3U,  4U,  5U,  6U,  7U,  8U,  9U,  10U,
                                         11U, 12U, 13U, 31U, 32U, 33U, 34U, 35U, 36U, 37U}) {
        const std::uint32_t count = 1 + random.below(70);
        owned_weight w = make_floats(random, type, count, cols);
        w.view.group_rows = random.below(2) == 0 ? 4 : packed_rows;
        const std::vector<std::byte> bytes = packed(w.view);
        weight view = w.view;
        view.packed = bytes.data();
        const std::size_t x_stride = cols + 5;
        const std::vector<float> x = random.floats(x_stride * tokens, 8);
        const std::uint32_t first = random.below(count);
        for (const rows range : {rows{0, count}, rows{first, count}, rows{first, first + 1}}) {
          expect_same(float_product_of(set(), view, range, x, x_stride, tokens),
                      float_product_of(reference(), w.view, range, x, x_stride, tokens),
                      std::string{name_of(type)} + " cols " + std::to_string(cols) + " tokens " +
                          std::to_string(tokens) + " in groups of " +
                          std::to_string(view.group_rows));
          ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
        }
      }
    }
  }
}

TEST_P(kernels, sum_float_weights_in_sixteen_stripes) {
  kernel_random random{7};
  for (const tensor_type type : float_types) {
    for (std::uint32_t cols = 1; cols <= 70; ++cols) {
      const std::uint32_t count = 1 + random.below(11);
      const std::uint32_t tokens = 1 + random.below(10);
      const owned_weight w = make_floats(random, type, count, cols);
      const std::size_t x_stride = cols + 5;
      const std::vector<float> x = random.floats(x_stride * tokens, 8);
      const rows range{random.below(count), count};
      expect_same(float_product_of(set(), w.view, range, x, x_stride, tokens),
                  float_product_of(reference(), w.view, range, x, x_stride, tokens),
                  std::string{name_of(type)} + " cols " + std::to_string(cols));
    }
  }
}

/// Quantises one row with both and compares everything the row has.
void compare_quantized(const kernel_set& set, activation_form form, const std::vector<float>& x,
                       const std::string& what) {
  const auto cols = static_cast<std::uint32_t>(x.size());
  quantized_batch wanted;
  quantized_batch got;
  wanted.reshape(form, 2, cols);
  got.reshape(form, 2, cols);
  const bool finite = kernels_reference().quantize(x.data(), wanted, 1);
  ASSERT_EQ(set.quantize(x.data(), got, 1), finite) << what;
  if (!finite) {
    return;
  }
  ASSERT_EQ(got.q, wanted.q) << what;
  ASSERT_EQ(got.k, wanted.k) << what;
  ASSERT_EQ(got.m, wanted.m) << what;
  ASSERT_EQ(got.sum, wanted.sum) << what;
  ASSERT_EQ(got.u, wanted.u) << what;
}

TEST_P(kernels, quantize_every_length_and_magnitude_alike) {
  kernel_random random{8};
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    const std::uint32_t block = form == activation_form::a32 ? 32 : 256;
    // Sixteen blocks of 32 may be taken together; what is left of them may not.
    for (const std::uint32_t blocks :
         {1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 9U, 15U, 16U, 17U, 32U, 47U, 48U}) {
      for (int exponent = -149; exponent <= 127; exponent += 3) {
        std::vector<float> x =
            random.floats(std::size_t{blocks} * block, std::ldexp(1.0F, exponent));
        // A few outliers make the scales of blocks differ; some blocks are all zero.
        for (std::uint32_t i = 0; i < 3; ++i) {
          x[random.below(blocks * block)] *= 40.0F;
        }
        const std::uint32_t zero = random.below(blocks * block / 32) * 32;
        std::fill_n(x.begin() + zero, 32, random.below(2) == 0 ? 0.0F : -0.0F);
        compare_quantized(set(), form, x, "exponent " + std::to_string(exponent));
        ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
      }
    }
  }
}

TEST_P(kernels, quantize_ties_and_whole_multiples_alike) {
  kernel_random random{9};
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    for (int round = 0; round < 200; ++round) {
      std::vector<float> x(512);
      for (float& v : x) {
        v = static_cast<float>(static_cast<int>(random.below(509)) - 254) * 0.5F;
      }
      x[random.below(512)] = 127.0F;
      compare_quantized(set(), form, x, "round " + std::to_string(round));
      compare_quantized(set(), form, std::vector<float>(512, round % 2 == 0 ? 0.0F : -0.0F), "0");
    }
  }
}

TEST_P(kernels, refuse_to_quantize_what_is_not_finite_wherever_it_stands) {
  kernel_random random{10};
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    for (std::size_t at = 0; at < 768; ++at) {
      for (const float bad : {infinity, -infinity, std::nanf("")}) {
        std::vector<float> x = random.floats(768, 1);
        x[at] = bad;
        compare_quantized(set(), form, x, "position " + std::to_string(at));
      }
    }
    compare_quantized(set(), form, std::vector<float>(768, std::numeric_limits<float>::max()),
                      "the largest floats");
  }
}

TEST_P(kernels, normalise_every_length_alike) {
  kernel_random random{11};
  for (std::uint32_t n = 1; n <= 200; ++n) {
    const std::vector<float> x = random.floats(n, std::ldexp(1.0F, static_cast<int>(n % 40) - 20));
    const std::vector<float> w = random.floats(n, 2);
    std::vector<float> wanted(n + 1, untouched);
    std::vector<float> got(n + 1, untouched);
    reference().rms_norm(x.data(), w.data(), n, 1e-5F, wanted.data());
    set().rms_norm(x.data(), w.data(), n, 1e-5F, got.data());
    expect_same(got, wanted, "n " + std::to_string(n));
  }
}

TEST_P(kernels, gate_every_kind_of_float_alike) {
  kernel_random random{12};
  constexpr std::uint32_t n = 1U << 20U;
  std::vector<float> gate(n);
  std::vector<float> up(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    gate[i] = i % 2 == 0 ? random.any_finite() : random.in(-110, 110);
    up[i] = i % 3 == 0 ? random.any_finite() : random.in(-2, 2);
  }
  const std::array<float, 10> special{0.0F,   -0.0F,  infinity, -infinity, std::nanf(""),
                                      88.79F, 88.81F, -88.8F,   104.0F,    -104.1F};
  std::copy(special.begin(), special.end(), gate.begin() + 5);
  std::vector<float> wanted(n);
  reference().swiglu(gate.data(), up.data(), n, wanted.data());
  set().swiglu(gate.data(), up.data(), n, gate.data()); // in place
  expect_same(gate, wanted, "swiglu");
}

TEST_P(kernels, gate_every_length_without_touching_the_rest) {
  kernel_random random{13};
  for (std::uint32_t n = 1; n <= 67; ++n) {
    const std::vector<float> gate = random.floats(n, 5);
    const std::vector<float> up = random.floats(n, 5);
    std::vector<float> wanted(n + 16, untouched);
    std::vector<float> got = wanted;
    reference().swiglu(gate.data(), up.data(), n, wanted.data());
    set().swiglu(gate.data(), up.data(), n, got.data());
    expect_same(got, wanted, "n " + std::to_string(n));
  }
}

TEST_P(kernels, rotate_every_number_of_pairs_alike) {
  kernel_random random{14};
  for (std::uint32_t pairs = 1; pairs <= 70; ++pairs) {
    std::vector<float> wanted = random.floats(2 * pairs + 16, 3);
    std::vector<float> got = wanted;
    const std::vector<float> cos_sin = random.floats(std::size_t{2} * pairs, 1);
    reference().rotate(wanted.data(), cos_sin.data(), pairs);
    set().rotate(got.data(), cos_sin.data(), pairs);
    expect_same(got, wanted, "pairs " + std::to_string(pairs));
  }
}

struct attention_shape {
  std::uint32_t heads;
  std::uint32_t head_dim;
  std::uint32_t positions;
};

/// One attention with both sets; the scores are scratch and not compared.
void compare_attention(const kernel_set& set, kernel_random& random, attention_shape shape,
                       float magnitude) {
  const auto [heads, head_dim, positions] = shape;
  const std::size_t stride = head_dim + random.below(2) * 3;
  std::vector<std::uint16_t> keys(positions * stride);
  std::vector<std::uint16_t> values(positions * stride);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    keys[i] = random.half(0x4200);
    values[i] = random.half(0x4200);
  }
  const std::vector<float> query = random.floats(std::size_t{heads} * head_dim, magnitude);
  std::vector<float> scores(std::size_t{heads} * positions);
  std::vector<float> wanted(std::size_t{heads} * head_dim + 16, untouched);
  std::vector<float> got = wanted;
  attention_task task{.query = query.data(),
                      .keys = keys.data(),
                      .values = values.data(),
                      .stride = stride,
                      .positions = positions,
                      .head_dim = head_dim,
                      .heads = heads,
                      .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
                      .scores = scores.data(),
                      .output = wanted.data()};
  kernels_reference().attend(task);
  task.output = got.data();
  set.attend(task);
  expect_same(got, wanted,
              std::to_string(heads) + " heads of " + std::to_string(head_dim) + ", positions " +
                  std::to_string(positions));
}

TEST_P(kernels, attend_with_any_number_of_heads_that_share_keys_alike) {
  kernel_random random{28};
  for (std::uint32_t heads = 2; heads <= 19; ++heads) {
    for (const std::uint32_t head_dim : {20U, 64U, 80U, 128U}) {
      for (const std::uint32_t positions : {1U, 5U, 64U, 67U, 255U, 258U}) {
        compare_attention(set(), random, {heads, head_dim, positions}, 2);
        ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
      }
    }
  }
}

TEST_P(kernels, attend_over_every_head_size_and_chunk_boundary_alike) {
  kernel_random random{15};
  for (const std::uint32_t head_dim :
       {1U, 2U, 15U, 16U, 17U, 20U, 32U, 48U, 64U, 72U, 80U, 96U, 100U, 128U, 144U, 256U}) {
    for (const std::uint32_t positions :
         {1U, 2U, 3U, 4U, 5U, 8U, 15U, 16U, 17U, 31U, 255U, 256U, 257U, 511U, 512U, 700U}) {
      compare_attention(set(), random, {1, head_dim, positions}, 2);
      ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
    }
  }
}

TEST_P(kernels, attend_when_nearly_all_weights_vanish) {
  kernel_random random{16};
  for (int round = 0; round < 20; ++round) {
    compare_attention(set(), random, {1 + random.below(9), 64, 300},
                      200); // scores spread over hundreds
    ASSERT_FALSE(HasFatalFailure()) << "seed " << random.seed();
  }
}

TEST_P(kernels, add_every_length_and_see_each_infinity) {
  kernel_random random{17};
  for (std::uint32_t n = 1; n <= 67; ++n) {
    for (std::uint32_t bad = 0; bad <= n; ++bad) {
      std::vector<float> wanted = random.floats(n + 16, 4);
      std::vector<float> b = random.floats(n, 4);
      if (bad < n) {
        b[bad] = bad % 2 == 0 ? infinity : std::nanf("");
      }
      std::vector<float> got = wanted;
      EXPECT_EQ(set().add(got.data(), b.data(), n), reference().add(wanted.data(), b.data(), n));
      expect_same(got, wanted, "n " + std::to_string(n));
    }
  }
}

TEST_P(kernels, see_a_sum_that_overflows) {
  std::vector<float> a(20, 1.0F);
  std::vector<float> b(20, 1.0F);
  a[18] = b[18] = std::numeric_limits<float>::max();
  EXPECT_FALSE(set().add(a.data(), b.data(), 20));
}

TEST_P(kernels, round_to_half_alike) {
  kernel_random random{18};
  for (std::uint32_t n = 1; n <= 67; ++n) {
    for (int round = 0; round < 300; ++round) {
      std::vector<float> x(n);
      for (float& v : x) {
        // Around every fp16, ties among them; now and then anything at all.
        const auto bits = static_cast<std::uint32_t>(random.below(0x10800)) << 13U;
        const auto low = random.below(3) == 0 ? 0x1000U : random.below(1U << 13U);
        v = std::bit_cast<float>((bits + 0x37000000U + low) | (random.below(2) << 31U));
        if (round % 50 == 49 && random.below(16) == 0) {
          v = random.any_finite();
        }
      }
      std::vector<std::uint16_t> wanted(n + 16, 0xABCD);
      std::vector<std::uint16_t> got = wanted;
      const bool fits = reference().to_half(x.data(), n, wanted.data());
      ASSERT_EQ(set().to_half(x.data(), n, got.data()), fits) << "n " << n;
      if (fits) {
        ASSERT_EQ(got, wanted) << "n " << n << ", seed " << random.seed();
      }
    }
  }
}

TEST_P(kernels, refuse_halves_that_overflow) {
  for (const float bad : {65520.0F, -65520.0F, 1e30F, infinity, -infinity, std::nanf("")}) {
    for (std::uint32_t at = 0; at < 35; ++at) {
      std::vector<float> x(35, 65519.0F);
      std::vector<std::uint16_t> out(35);
      EXPECT_TRUE(set().to_half(x.data(), 35, out.data()));
      x[at] = bad;
      EXPECT_FALSE(set().to_half(x.data(), 35, out.data())) << bad << " at " << at;
    }
  }
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(kernels);
INSTANTIATE_TEST_SUITE_P(of_this_processor, kernels, testing::ValuesIn(fast_kernels_here()),
                         [](const auto& set) { return std::string{set.param->name}; });

} // namespace
} // namespace ovir::compute
