// Freivalds' check: honest products always pass, a single changed integer never does, whatever the
// type, the number of tokens and the instruction set.
#include "compute/field_sums.hpp"
#include "compute/freivalds.hpp"
#include "tests/support/gguf_builder.hpp"
#include "tests/support/loaded_model.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ovir::compute {
namespace {

using ::testing::HasSubstr;

class freivalds : public ::testing::TestWithParam<synth_quantization> {
protected:
  static secret_source secrets(std::uint64_t seed) {
    return [state = std::mt19937_64{seed}](std::span<std::byte> out) mutable {
      for (std::byte& b : out) {
        b = static_cast<std::byte>(state());
      }
    };
  }
  static test::loaded_model model(synth_quantization type) {
    synth_spec spec;
    spec.quantization = type;
    return test::loaded_model{test::synthetic_model(spec)};
  }
  static quantized_batch activations(const weight& w, std::uint32_t tokens, std::uint64_t seed) {
    std::mt19937_64 chance{seed};
    std::normal_distribution<float> normal{0, 2};
    quantized_batch x;
    x.reshape(form_for(w.type), tokens, w.cols);
    std::vector<float> row(w.cols);
    for (std::uint32_t t = 0; t < tokens; ++t) {
      for (float& v : row) {
        v = normal(chance) * (chance() % 100 == 0 ? 50.0F : 1.0F);
      }
      EXPECT_TRUE(kernels_reference().quantize(row.data(), x, t));
    }
    return x;
  }
  static std::vector<std::uint64_t> weights(std::uint32_t tokens, std::uint64_t seed) {
    std::mt19937_64 chance{seed};
    std::vector<std::uint64_t> all(tokens);
    for (std::uint64_t& w : all) {
      w = chance();
    }
    return all;
  }
  serial_runner serial_;
};

TEST_P(freivalds, passes_what_is_honest_and_catches_every_single_change) {
  const auto loaded = model(GetParam());
  const weight& w = loaded.get().layers[1].ffn_down;
  const auto m = prepare_matrix(w, "ffn_down", secrets(7));
  ASSERT_TRUE(m) << m.error().message;
  std::mt19937_64 chance{11};
  for (const std::uint32_t tokens : {1U, 2U, 31U, 32U, 33U, 70U}) {
    const quantized_batch x = activations(w, tokens, tokens);
    std::vector<std::int64_t> sums(std::size_t{tokens} * w.rows);
    integer_product(w, x, sums, serial_);
    EXPECT_EQ(check_product(*m, {x, weights(tokens, 3)}, sums), product_fault::none) << tokens;
    for (int i = 0; i < 40; ++i) {
      const std::size_t at = chance() % sums.size();
      const std::int64_t honest = sums[at];
      sums[at] += i % 2 == 0 ? 1 : -static_cast<std::int64_t>(chance() % 100'000) - 1;
      EXPECT_EQ(check_product(*m, {x, weights(tokens, chance())}, sums),
                product_fault::not_the_product)
          << tokens << " " << at;
      sums[at] = honest;
    }
    if (tokens > 1) { // tokens swapped
      std::swap_ranges(sums.begin(), sums.begin() + w.rows, sums.begin() + w.rows);
      EXPECT_EQ(check_product(*m, {x, weights(tokens, 5)}, sums), product_fault::not_the_product);
    }
  }
}

TEST_P(freivalds, integers_are_those_that_the_kernels_round) {
  const auto loaded = model(GetParam());
  const weight& w = loaded.get().layers[0].ffn_down;
  const quantized_batch x = activations(w, 5, 9);
  std::vector<std::int64_t> sums(std::size_t{5} * w.rows);
  integer_product(w, x, sums, serial_);
  std::vector<float> y(sums.size());
  kernels_reference().product(w, 0, w.rows, x, y.data(), w.rows);
  for (std::size_t i = 0; i < y.size(); ++i) {
    EXPECT_EQ(static_cast<float>(sums[i]) * (x.u[i / w.rows] * 0x1p-24F), y[i]);
  }
}

// S and S + p are the same in the field: only the bounds tell them apart (ARITHMETIC, section 7).
TEST_P(freivalds, refuses_integers_that_differ_by_the_field_s_size) {
  const auto loaded = model(GetParam());
  const weight& w = loaded.get().layers[1].ffn_down;
  const auto m = prepare_matrix(w, "ffn_down", secrets(7));
  ASSERT_TRUE(m);
  const quantized_batch x = activations(w, 3, 4);
  std::vector<std::int64_t> sums(std::size_t{3} * w.rows);
  integer_product(w, x, sums, serial_);
  for (const std::int64_t by :
       {static_cast<std::int64_t>(field_prime), -static_cast<std::int64_t>(field_prime)}) {
    sums[17] += by;
    EXPECT_EQ(check_product(*m, {x, weights(3, 1)}, sums), product_fault::out_of_bounds);
    sums[17] -= by;
  }
  for (const std::int64_t any : {INT64_MIN, INT64_MAX, INT64_MIN + 1}) {
    const std::int64_t honest = sums[5];
    sums[5] = any;
    EXPECT_EQ(check_product(*m, {x, weights(3, 1)}, sums), product_fault::out_of_bounds);
    sums[5] = honest;
  }
}

INSTANTIATE_TEST_SUITE_P(types, freivalds,
                         ::testing::Values(synth_quantization::q8_0, synth_quantization::q4_0,
                                           synth_quantization::q4_k, synth_quantization::q6_k),
                         [](const auto& type) { return std::string{name_of(type.param)}; });

TEST_F(freivalds, refuses_matrices_of_floats_by_name) {
  const auto loaded = model(synth_quantization::f16);
  const auto m = prepare_matrix(loaded.get().layers[0].attn_q, "blk.0.attn_q.weight", secrets(1));
  ASSERT_FALSE(m);
  EXPECT_EQ(m.error().code, errc::unsupported);
  EXPECT_THAT(m.error().message, HasSubstr("blk.0.attn_q.weight is F16"));
}

TEST_F(freivalds, draws_another_vector_each_time) {
  const auto loaded = model(synth_quantization::q8_0);
  const weight& w = loaded.get().layers[0].attn_k;
  const auto one = prepare_matrix(w, "attn_k", secrets(1));
  const auto other = prepare_matrix(w, "attn_k", secrets(2));
  ASSERT_TRUE(one && other);
  EXPECT_NE(one->secret, other->secret);
  EXPECT_NE(one->product, other->product);
  EXPECT_EQ(one->bounds, other->bounds);
}

TEST(field_sums, are_the_same_in_every_instruction_set) {
  std::mt19937_64 chance{5};
  constexpr std::size_t n = 352;
  constexpr std::size_t stride = n + 3;
  constexpr std::size_t tokens = 7; // four together, and three alone
  std::vector<std::int64_t> s(tokens * stride);
  std::vector<std::int8_t> q(tokens * n);
  std::vector<std::int32_t> scales(tokens * n / 32);
  std::vector<std::int64_t> weights{token_weight_max - 1, -token_weight_max, 77, -1, 0, 1, 99};
  for (std::int64_t& sum : s) {
    sum = static_cast<std::int64_t>(chance()) >> 4;
  }
  for (std::int8_t& one : q) {
    one = static_cast<std::int8_t>(static_cast<int>(chance() % 255) - 127);
  }
  for (std::int32_t& k : scales) {
    k = static_cast<std::int32_t>(chance() % (63 * 4'095)) + 1;
  }
  const std::vector<std::uint64_t> bounds(n, std::uint64_t{1} << 60U);
  std::int64_t too_large = -(std::int64_t{1} << 60U) - 1;
  const auto run = [&](const field_sums& by) {
    std::vector<std::int64_t> out(3 * n);
    const auto add = [&](std::int64_t* to) {
      return by.add_sums(s.data(), stride, tokens, bounds.data(), n, weights.data(), to, to + n);
    };
    EXPECT_TRUE(add(out.data()));
    by.join(out.data(), out.data() + n, n);
    by.weigh_inputs(q.data(), scales.data(), n, tokens, weights.data(), out.data() + 2 * n);
    std::vector<std::int64_t> unused(2 * n);
    for (const std::size_t t : {std::size_t{1}, tokens - 1}) {
      std::swap(s[t * stride + n - 1], too_large);
      EXPECT_FALSE(add(unused.data())) << t;
      std::swap(s[t * stride + n - 1], too_large);
    }
    return out;
  };
  const auto plain = run(field_sums_plain());
  if (processor_has(isa::avx2) && field_sums_avx2() != nullptr) {
    EXPECT_EQ(run(*field_sums_avx2()), plain);
  }
  if (processor_has(isa::avx512) && field_sums_avx512() != nullptr) {
    EXPECT_EQ(run(*field_sums_avx512()), plain);
  }
  // By the definition, in integers that are wide enough.
  __extension__ using wide = __int128;
  const auto in_field = [](wide x) {
    const wide p = field_prime;
    return static_cast<std::uint64_t>((x % p + p) % p);
  };
  for (std::size_t i = 0; i < n; ++i) {
    wide sum = 0;
    std::int64_t input = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      sum += wide{weights[t]} * s[t * stride + i];
      input += weights[t] * scales[t * (n / 32) + i / 32] * q[t * n + i];
    }
    EXPECT_EQ(in_field(plain[i]), in_field(sum)) << i;
    EXPECT_EQ(plain[2 * n + i], input) << i;
  }
}

} // namespace
} // namespace ovir::compute
