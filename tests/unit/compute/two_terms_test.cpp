#include "compute/kernels/two_terms.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>

namespace ovir::compute {
namespace {

constexpr std::uint32_t tokens = 3;
constexpr std::uint32_t cols = 512;

/// With an outlier in every block of 64.
std::vector<float> vector_of(std::uint32_t seed) {
  std::mt19937 random{seed};
  std::vector<float> x(cols);
  for (std::uint32_t i = 0; i < cols; ++i) {
    x[i] = static_cast<float>(random() % 2001) / 1000.0F - 1;
    x[i] *= i % 64 == 5 ? 40 : 1;
  }
  return x;
}

double value_at(const quantized_batch& b, std::uint32_t row, std::uint32_t i) {
  return static_cast<double>(b.q_row(row)[i]) * b.m_row(row)[i / 32] *
         b.k_row(row)[i / b.scale_block()] * static_cast<double>(b.u[row]);
}

quantized_batch quantized(const kernel_set& kernels, activation_form form) {
  quantized_batch out;
  out.reshape(form, 2 * tokens, cols);
  std::vector<float> rest(cols);
  for (std::uint32_t t = 0; t < tokens; ++t) {
    EXPECT_TRUE(quantize_in_two(kernels, vector_of(t).data(), rest.data(), out, t));
  }
  return out;
}

TEST(two_terms, hold_a_vector_closer_than_one_by_two_orders_of_magnitude) {
  for (const activation_form form : {activation_form::a32, activation_form::a256}) {
    const quantized_batch b = quantized(kernels_reference(), form);
    for (std::uint32_t t = 0; t < tokens; ++t) {
      const std::vector<float> x = vector_of(t);
      double one = 0;
      double two = 0;
      for (std::uint32_t i = 0; i < cols; ++i) {
        const double first = value_at(b, t, i);
        one = std::max(one, std::abs(x[i] - first));
        two = std::max(two, std::abs(x[i] - first - value_at(b, tokens + t, i)));
      }
      EXPECT_LT(two * 100, one) << t;
    }
  }
}

TEST(two_terms, are_the_same_on_every_instruction_set) {
  for (const kernel_set* set : fast_kernels_here()) {
    for (const activation_form form : {activation_form::a32, activation_form::a256}) {
      const quantized_batch expected = quantized(kernels_reference(), form);
      const quantized_batch b = quantized(*set, form);
      EXPECT_EQ(b.q, expected.q);
      EXPECT_EQ(b.k, expected.k);
      EXPECT_EQ(b.m, expected.m);
      EXPECT_EQ(b.sum, expected.sum);
      EXPECT_EQ(b.u, expected.u);
    }
  }
}

TEST(two_terms, of_what_is_not_finite_are_refused) {
  quantized_batch out;
  out.reshape(activation_form::a32, 2, cols);
  std::vector<float> x = vector_of(1);
  std::vector<float> rest(cols);
  x[300] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(quantize_in_two(kernels_reference(), x.data(), rest.data(), out, 0));
}

TEST(two_terms, are_added_in_the_columns_asked_for) {
  std::array<float, 8> y{1, 2, 3, 4, 10, 20, 30, 40}; // two tokens of two columns, two terms
  add_second_terms(y.data(), 2, 2, 1, 2);
  EXPECT_EQ(y, (std::array<float, 8>{1, 22, 3, 44, 10, 20, 30, 40}));
}

TEST(two_terms, are_those_of_keys_and_of_values_by_superblocks) {
  EXPECT_EQ(key_terms(activation_form::a32), input_terms::two);
  EXPECT_EQ(key_terms(activation_form::a256), input_terms::two);
  EXPECT_EQ(key_terms(activation_form::floats), input_terms::one);
  EXPECT_EQ(value_terms(activation_form::a32), input_terms::one);
  EXPECT_EQ(value_terms(activation_form::a256), input_terms::two);
  EXPECT_EQ(value_terms(activation_form::floats), input_terms::one);
}

} // namespace
} // namespace ovir::compute
