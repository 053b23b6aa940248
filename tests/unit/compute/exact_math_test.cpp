#include "compute/base/exact_math.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace ovir::compute {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::uint32_t bits_of(float x) { return std::bit_cast<std::uint32_t>(x); }

TEST(exact_exp, has_the_values_the_profile_states_at_its_edges) {
  EXPECT_EQ(exact_exp(0.0F), 1.0F);
  EXPECT_EQ(exact_exp(-0.0F), 1.0F);
  EXPECT_EQ(exact_exp(88.9F), infinity);
  EXPECT_EQ(exact_exp(infinity), infinity);
  EXPECT_EQ(bits_of(exact_exp(-104.5F)), 0U);
  EXPECT_EQ(bits_of(exact_exp(-infinity)), 0U);
  EXPECT_EQ(exact_exp(88.72283F), 0x1.ffff08p+127F);
  EXPECT_EQ(exact_exp(88.72284F), infinity);
  EXPECT_EQ(bits_of(exact_exp(-103.97F)), 1U) << "the least subnormal is kept";
  const float nan = std::bit_cast<float>(0xFFC01234U);
  EXPECT_EQ(bits_of(exact_exp(nan)), bits_of(nan));
}

TEST(exact_exp, gives_golden_bits) {
  EXPECT_EQ(exact_exp(1.0F), 0x1.5bf0a8p+1F);
  EXPECT_EQ(exact_exp(-1.0F), 0x1.78b564p-2F);
  EXPECT_EQ(exact_exp(-90.0F), 0x1.1d85p-130F) << "subnormal, rounded once";
}

TEST(exact_tanh, keeps_sign_and_limits) {
  EXPECT_EQ(exact_tanh(30.0F), 1.0F);
  EXPECT_EQ(exact_tanh(-30.0F), -1.0F);
  EXPECT_EQ(bits_of(exact_tanh(-0.0F)), bits_of(-0.0F));
  EXPECT_EQ(exact_tanh(-0.5F), -exact_tanh(0.5F));
  EXPECT_TRUE(std::isnan(exact_tanh(std::numeric_limits<float>::quiet_NaN())));
}

TEST(exact_silu, is_x_over_one_plus_exp_of_minus_x) {
  EXPECT_EQ(exact_silu(0.0F), 0.0F);
  EXPECT_EQ(exact_silu(100.0F), 100.0F);
  EXPECT_EQ(bits_of(exact_silu(-100.0F)), bits_of(-0.0F));
  EXPECT_EQ(exact_silu(1.5F), 1.5F / (1.0F + exact_exp(-1.5F)));
}

TEST(exact_pow, is_exact_where_the_result_is) {
  EXPECT_EQ(exact_pow(10'000.0, 0.0), 1.0);
  EXPECT_EQ(exact_pow(2.0, 10.0), 1024.0);
  EXPECT_EQ(exact_pow(2.0, -1000.0), 0x1p-1000);
  EXPECT_EQ(exact_pow(4.0, 0.5), 2.0);
  EXPECT_EQ(exact_pow(0x1p-1074, -0.5), 0x1p+537) << "a subnormal base";
}

TEST(exact_cos_sin, turns_through_all_quadrants) {
  const cos_sin zero = exact_cos_sin(0.0);
  EXPECT_EQ(zero.cos, 1.0F);
  EXPECT_EQ(zero.sin, 0.0F);
  constexpr double half_pi = 0x1.921fb54442d18p+0;
  EXPECT_EQ(exact_cos_sin(half_pi).sin, 1.0F);
  EXPECT_EQ(exact_cos_sin(2 * half_pi).cos, -1.0F);
  EXPECT_EQ(exact_cos_sin(3 * half_pi).sin, -1.0F);
  EXPECT_EQ(exact_cos_sin(half_pi).cos, 0x1.1a6264p-54F) << "what the binary64 angle lacks of pi/2";
  EXPECT_EQ(exact_cos_sin(-1.0).sin, -exact_cos_sin(1.0).sin);
}

TEST(half, converts_all_65536_values_there_and_back) {
  for (std::uint32_t h = 0; h < 0x10000U; ++h) {
    const auto bits = static_cast<std::uint16_t>(h);
    const float x = half_to_float(bits);
    const std::uint32_t exponent = (h >> 10U) & 31U;
    const auto fraction = static_cast<double>(h & 0x3FFU);
    const double sign = (h & 0x8000U) != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
      EXPECT_EQ(std::isnan(x), fraction != 0);
      EXPECT_EQ(std::isinf(x), fraction == 0);
    } else {
      const double want = exponent == 0
                              ? std::ldexp(fraction, -24)
                              : std::ldexp(fraction + 1024, static_cast<int>(exponent) - 25);
      ASSERT_EQ(static_cast<double>(x), sign * want) << h;
      ASSERT_EQ(static_cast<double>(half_to_fixed24(bits)), sign * want * 0x1p+24) << h;
    }
    ASSERT_EQ(std::signbit(x), (h & 0x8000U) != 0);
    if (fraction == 0 || exponent != 31) {
      ASSERT_EQ(float_to_half(x), bits);
    } else {
      ASSERT_EQ(float_to_half(x), bits | 0x200U) << "NaNs come back quiet";
    }
  }
}

TEST(half, rounds_between_any_two_neighbours_to_nearest_even) {
  for (std::uint32_t h = 0; h < 0x7C00U; ++h) {
    const double low = half_to_float(static_cast<std::uint16_t>(h));
    const double high =
        h == 0x7BFFU ? 65536.0 : double{half_to_float(static_cast<std::uint16_t>(h + 1))};
    const auto middle = static_cast<float>((low + high) / 2);
    const std::uint32_t even = h + (h & 1U);
    ASSERT_EQ(float_to_half(middle), even) << h;
    ASSERT_EQ(float_to_half(std::nextafterf(middle, 0.0F)), h);
    ASSERT_EQ(float_to_half(std::nextafterf(middle, infinity)), h + 1);
    ASSERT_EQ(float_to_half(-middle), even | 0x8000U);
  }
}

TEST(bfloat, is_the_upper_half_of_a_binary32) {
  EXPECT_EQ(bfloat_to_float(0x3F80U), 1.0F);
  EXPECT_EQ(bfloat_to_float(0x8001U), -0x1p-133F);
}

TEST(round_to_float, rounds_once_where_a_way_through_double_rounds_twice) {
  constexpr std::int64_t z = (std::int64_t{1} << 54) + (std::int64_t{1} << 30) + 1;
  EXPECT_EQ(round_to_float(z), 0x1.000002p+54F);
  EXPECT_EQ(static_cast<float>(static_cast<double>(z)), 0x1p+54F) << "the pitfall itself";
  EXPECT_EQ(round_to_float_wide(z), 0x1.000002p+54F);
}

TEST(round_to_float_wide, takes_ties_to_even_at_every_magnitude) {
  for (int shift = 0; shift <= 102; ++shift) {
    const int128 unit = int128{1} << shift;
    const int128 even = (int128{1} << 24) * unit; // 2^24 units: a multiple of 2
    const float scale = std::ldexp(1.0F, shift);
    EXPECT_EQ(round_to_float_wide(even + unit), 0x1p+24F * scale) << "a tie goes down to even";
    EXPECT_EQ(round_to_float_wide(even + 3 * unit), (0x1p+24F + 4) * scale) << "and up to even";
    EXPECT_EQ(round_to_float_wide(-(even + 3 * unit)), -(0x1p+24F + 4) * scale);
    if (shift > 0) {
      EXPECT_EQ(round_to_float_wide(even + unit + 1), (0x1p+24F + 2) * scale) << shift;
      EXPECT_EQ(round_to_float_wide(even + unit - 1), 0x1p+24F * scale) << shift;
      EXPECT_EQ(round_to_float_wide(-(even + unit + 1)), -(0x1p+24F + 2) * scale) << shift;
    }
  }
  EXPECT_EQ(bits_of(round_to_float_wide(0)), 0U);
  constexpr int128 most = static_cast<int128>(~static_cast<unsigned __int128>(0) >> 1U);
  EXPECT_EQ(round_to_float_wide(most), 0x1p+127F);
  EXPECT_EQ(round_to_float_wide(-most - 1), -0x1p+127F);
}

TEST(round_to_float_wide, equals_the_narrow_conversion_within_64_bits) {
  std::uint64_t state = 1;
  for (int i = 0; i < 100'000; ++i) {
    state = state * 6364136223846793005U + 1442695040888963407U;
    const std::int64_t z = static_cast<std::int64_t>(state) >> (i % 62);
    ASSERT_EQ(round_to_float_wide(z), round_to_float(z)) << z;
  }
}

} // namespace
} // namespace ovir::compute
