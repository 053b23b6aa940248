#include "compute/base/exact_math.hpp"

#include <gtest/gtest.h>
#include <mpfr.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

namespace ovir::compute {
namespace {

/// An MPFR number of 200 bits.
class exact_number {
public:
  exact_number() { mpfr_init2(value_, 200); }
  explicit exact_number(double x) : exact_number() { mpfr_set_d(value_, x, MPFR_RNDN); }
  ~exact_number() { mpfr_clear(value_); }
  exact_number(const exact_number&) = delete;
  exact_number& operator=(const exact_number&) = delete;
  mpfr_ptr get() { return value_; }

private:
  mpfr_t value_;
};

/// One unit in the last place of the binary32 (24) or binary64 (53) nearest to `x`.
double unit_of(double x, int digits, int least) {
  int exponent = 0;
  (void)std::frexp(x, &exponent);
  return std::ldexp(1.0, std::max(exponent - digits, least));
}

struct worst {
  double units{0};
  float at{0};
  void see(double error, double unit, float x) {
    if (error / unit > units) {
      units = error / unit;
      at = x;
    }
  }
};

// The bounds are those of docs/formats/exact-1.md, measured over all 2^32 arguments; this walks an
// even comb of them. The binary64 functions of the platform are true to a billionth of our unit.
TEST(exact_functions, stay_within_the_errors_the_profile_states) {
  constexpr std::uint64_t comb = 401;
  worst exp_error;
  worst silu_error;
  double tanh_error = 0;
  for (std::uint64_t i = 0; i < (std::uint64_t{1} << 32U); i += comb) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(i));
    if (!(std::fabs(x) < 110.0F)) {
      continue;
    }
    const double e = std::exp(double{x});
    const float y = exact_exp(x);
    if (std::isfinite(y)) {
      exp_error.see(std::fabs(y - e), unit_of(e, 24, -149), x);
    } else {
      ASSERT_GE(e, 0x1.ffffffp+127) << x;
    }
    if (x >= -88.0F) {
      const double s = x / (1 + std::exp(-double{x}));
      silu_error.see(std::fabs(exact_silu(x) - s), unit_of(s, 24, -149), x);
    }
    tanh_error = std::max(tanh_error, std::fabs(exact_tanh(x) - std::tanh(double{x})));
  }
  EXPECT_LE(exp_error.units, 0.8943) << exp_error.at;
  EXPECT_LE(silu_error.units, 2.394) << silu_error.at;
  EXPECT_LE(tanh_error, 9.0e-8);
  EXPECT_GE(exp_error.units, 0.8) << "the comb has missed the hard arguments";
}

TEST(exact_pow, is_within_one_unit_of_binary64_for_frequencies_and_beyond) {
  std::mt19937_64 random{1};
  const auto error_units = [](double base, double exponent) {
    const double y = exact_pow(base, exponent);
    exact_number truth{base};
    exact_number power{exponent};
    mpfr_pow(truth.get(), truth.get(), power.get(), MPFR_RNDN);
    mpfr_sub_d(truth.get(), truth.get(), y, MPFR_RNDN);
    return std::fabs(mpfr_get_d(truth.get(), MPFR_RNDN)) / unit_of(y, 53, -1074);
  };
  for (const double base : {10'000.0, 100'000.0, 500'000.0, 1'000'000.0, 8'000'000.0}) {
    for (const int dim : {32, 48, 64, 80, 96, 128, 256}) {
      for (int i = 0; i < dim / 2; ++i) {
        ASSERT_LT(error_units(base, -(2.0 * i / dim)), 0.75) << base << " " << i << "/" << dim;
      }
    }
  }
  std::uniform_real_distribution<double> exponent{-20, 20};
  std::uniform_real_distribution<double> log_base{-20, 20};
  for (int i = 0; i < 50'000; ++i) {
    const double base = std::exp2(log_base(random));
    ASSERT_LT(error_units(base, exponent(random)), 1.0) << base;
  }
}

void expect_correctly_rounded(double angle) {
  const cos_sin got = exact_cos_sin(angle);
  exact_number sine{angle};
  exact_number cosine;
  mpfr_sin_cos(sine.get(), cosine.get(), sine.get(), MPFR_RNDN);
  ASSERT_EQ(got.sin, mpfr_get_flt(sine.get(), MPFR_RNDN)) << angle;
  ASSERT_EQ(got.cos, mpfr_get_flt(cosine.get(), MPFR_RNDN)) << angle;
}

TEST(exact_cos_sin, is_correctly_rounded_at_positions_up_to_2_to_the_20) {
  std::mt19937_64 random{2};
  for (const double base : {10'000.0, 500'000.0, 1'000'000.0}) {
    for (int i = 0; i < 64; ++i) {
      const double frequency = exact_pow(base, -(2.0 * i / 128));
      for (int n = 0; n < 1'500; ++n) {
        expect_correctly_rounded(static_cast<double>(random() % (1U << 20U)) * frequency);
        if (testing::Test::HasFatalFailure()) {
          return;
        }
      }
      expect_correctly_rounded(static_cast<double>((1U << 20U) - 1) * frequency);
    }
  }
}

TEST(exact_cos_sin, is_correctly_rounded_over_its_whole_range_and_beside_multiples_of_half_pi) {
  std::mt19937_64 random{3};
  for (int n = 0; n < 100'000; ++n) {
    const double fraction = static_cast<double>(static_cast<std::int64_t>(random())) * 0x1p-63;
    expect_correctly_rounded(std::ldexp(fraction, 31 - static_cast<int>(random() % 60)));
    const double multiple = static_cast<double>(random() % 1'300'000'000U);
    expect_correctly_rounded(multiple * 0x1.921fb54442d18p+0);
    if (testing::Test::HasFatalFailure()) {
      return;
    }
  }
}

} // namespace
} // namespace ovir::compute
