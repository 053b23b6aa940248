// Freivalds' check: honest products always pass, a single changed integer never does, whatever the
// type, the number of tokens and the instruction set.
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"
#include "verify/field_sums.hpp"
#include "verify/freivalds.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
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
  kernels_reference().product(w, 0, w.rows, x, y.data(), w.rows, nullptr);
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

/// What a set makes of made-up integers: the sums over tokens, the rounded ones and the inputs.
struct weighed {
  std::vector<std::int64_t> totals;
  std::vector<float> rounded;
  std::vector<std::int64_t> inputs;

  friend bool operator==(const weighed&, const weighed&) = default;
};

/// Integers at and near all that a check may meet: the largest |S|, weights, scales and q.
class field_sets : public ::testing::TestWithParam<std::size_t> {
protected:
  static constexpr std::int64_t largest = (std::int64_t{1} << 60U) - 1;
  static constexpr std::int32_t scale_max = 63 * 4'095;

  explicit field_sets(std::size_t columns = 1'024 + 352 + 5) : n(columns) {
    std::mt19937_64 chance{GetParam()};
    const auto extreme = [&] { return chance() % 4 == 0; };
    s.resize(tokens * stride());
    for (std::int64_t& sum : s) {
      sum = static_cast<std::int64_t>(chance()) >> 3;
      sum = extreme() ? (sum < 0 ? -largest : largest) : std::clamp(sum, -largest, largest);
    }
    q.resize(tokens * width);
    for (std::int8_t& one : q) {
      one = extreme() ? std::int8_t{chance() % 2 == 0 ? std::int8_t{127} : std::int8_t{-127}}
                      : static_cast<std::int8_t>(static_cast<int>(chance() % 255) - 127);
    }
    scales.resize(tokens * width / 32);
    for (std::int32_t& k : scales) {
      k = extreme() ? scale_max : static_cast<std::int32_t>(chance() % scale_max) + 1;
    }
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::uint64_t mask = (std::uint64_t{1} << token_weight_bits) - 1;
      weights.push_back(static_cast<std::int64_t>(extreme() ? mask : chance() & mask));
      powers.push_back(std::ldexp(1.0F, static_cast<int>(chance() % 40) - 30));
    }
    bounds.assign(n, largest);
  }
  [[nodiscard]] std::size_t stride() const { return n + 3; }

  [[nodiscard]] bool add(const field_sums& by, std::int64_t* total, float* rounded) const {
    return by.add_sums(
        {s.data(), stride(), n, tokens, bounds.data(), weights.data(), rounded, powers.data()},
        total);
  }
  [[nodiscard]] weighed run(const field_sums& by) {
    weighed out{std::vector<std::int64_t>(n), std::vector<float>(s.size()),
                std::vector<std::int64_t>(width)};
    EXPECT_TRUE(add(by, out.totals.data(), out.rounded.data()));
    by.weigh_inputs(q.data(), scales.data(), width, tokens, weights.data(), out.inputs.data());
    std::vector<std::int64_t> unused(n);
    EXPECT_TRUE(add(by, unused.data(), nullptr));
    EXPECT_EQ(unused, out.totals) << "rounding changes nothing else";
    for (std::int64_t wrong : {largest + 1, -largest - 1, INT64_MIN, INT64_MAX}) {
      for (const std::size_t t : {std::size_t{0}, tokens / 2, tokens - 1}) {
        for (const std::size_t i : {std::size_t{0}, n / 2, n - 1}) {
          std::swap(s[t * stride() + i], wrong);
          EXPECT_FALSE(add(by, unused.data(), nullptr)) << t << " " << i;
          std::swap(s[t * stride() + i], wrong);
        }
      }
    }
    return out;
  }

  std::size_t tokens{GetParam()};
  std::size_t n;              ///< columns of S: more than are added at once, and a rest
  std::size_t width{32 * 19}; ///< of inputs: more blocks than at once, and a rest
  std::vector<std::int64_t> s;
  std::vector<std::int8_t> q;
  std::vector<std::int32_t> scales;
  std::vector<std::int64_t> weights;
  std::vector<float> powers;
  std::vector<std::uint64_t> bounds;
};

TEST_P(field_sets, of_every_processor_give_the_same_bits) {
  const weighed plain = run(field_sums_plain());
  if (processor_has(isa::avx2) && field_sums_avx2() != nullptr) {
    EXPECT_EQ(run(*field_sums_avx2()), plain);
  }
  if (processor_has(isa::avx512) && field_sums_avx512() != nullptr) {
    EXPECT_EQ(run(*field_sums_avx512()), plain);
  }
}

TEST_P(field_sets, are_what_wide_integers_give) {
  const weighed plain = run(field_sums_plain());
  __extension__ using wide = __int128;
  const auto in_field = [](wide x) {
    const wide p = field_prime;
    return static_cast<std::uint64_t>((x % p + p) % p);
  };
  for (std::size_t i = 0; i < n; ++i) {
    wide sum = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      const std::int64_t one = s[t * stride() + i];
      sum += wide{weights[t]} * one;
      EXPECT_EQ(plain.rounded[t * stride() + i], static_cast<float>(one) * powers[t]);
    }
    EXPECT_EQ(in_field(plain.totals[i]), in_field(sum)) << i;
    EXPECT_LT(std::abs(plain.totals[i]), std::int64_t{1} << 62U);
  }
  for (std::size_t i = 0; i < width; ++i) {
    std::int64_t input = 0;
    for (std::size_t t = 0; t < tokens; ++t) {
      input += weights[t] * scales[t * (width / 32) + i / 32] * q[t * width + i];
    }
    EXPECT_EQ(plain.inputs[i], input) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(of_tokens, field_sets, ::testing::Values(1, 2, 7, 8, 31, 32));

} // namespace
} // namespace ovir::compute
