#pragma once

#include <array>

/// Every constant of exact-1's elementary functions, as docs/formats/exact-1.md states them.
/// Coefficients stand in the order in which Horner's rule reads them: the highest power first, each
/// further one taken in by one fused multiply-add, p = fma(p, argument, next).
namespace ovir::compute::exact {

// exp, binary32. With c the argument clamped to [exp_argument_min, exp_argument_max]:
//   z = c * exp_log2_e
//   n = (z + exp_round) - exp_round            nearest integer, ties to even
//   r = fma(n, -exp_ln2_high, c)               exact, because ln2_high has 16 bits
//   r = fma(n, -exp_ln2_low, r)
//   p = Horner over exp_coefficients in r
//   result = (p * 2^(n >> 1)) * 2^(n - (n >> 1))
// Only the last product can round, and only when it is subnormal or overflows, so that a single
// rounding of p * 2^n (AVX-512's vscalefps) gives the same bits. A NaN argument is the result.
inline constexpr float exp_argument_min = -0x1.ap+6F;
inline constexpr float exp_argument_max = 0x1.633334p+6F;
inline constexpr float exp_log2_e = 0x1.715476p+0F;
inline constexpr float exp_round = 0x1.8p+23F;
inline constexpr float exp_ln2_high = 0x1.62e4p-1F;
inline constexpr float exp_ln2_low = 0x1.7f7d1cp-20F;
/// Minimax for e^r over |r| <= ln(2) / 2 among polynomials that begin 1 + r.
inline constexpr std::array<float, 7> exp_coefficients{
    0x1.6a241ap-10F, // r^6
    0x1.1239f2p-7F,  // r^5
    0x1.5558f2p-5F,  // r^4
    0x1.555492p-3F,  // r^3
    0x1.fffffcp-2F,  // r^2
    0x1p+0F,         // r
    0x1p+0F,         // 1
};

// gelu, binary32: the binary32 numbers nearest to 0.044715 and to sqrt(2 / pi).
inline constexpr float gelu_cube = 0x1.6e4e26p-5F;
inline constexpr float gelu_root = 0x1.988454p-1F;

// log, binary64: ln 2 as an unevaluated sum.
inline constexpr double ln2 = 0x1.62e42fefa39efp-1;
inline constexpr double ln2_rest = 0x1.abc9e3b39803fp-56;

// Conversions between fp16 and binary32.
inline constexpr float half_rebias = 0x1p+112F; // from exponent bias 15 to bias 127
inline constexpr float half_first_infinite = 0x1p+16F;
inline constexpr float half_subnormal_step = 0x1p-1F; // one unit in its last place is 2^-24

// Nearest integer of a binary64, ties to even: (x + round_binary64) - round_binary64.
inline constexpr double round_binary64 = 0x1.8p+52;

// log2 of m in [sqrt(1/2), sqrt(2)]: 2 / ln(2) * (s + s^3 / 3 + s^5 / 5 + ...), s = (m-1) / (m+1).
inline constexpr double log2_scale_high = 0x1.71547652b82fep+1; // 2 / ln(2)
inline constexpr double log2_scale_low = 0x1.777d0ffda0d24p-55;
/// 2 / (ln(2) * (2k + 1)) for k = 13 down to 1.
inline constexpr std::array<double, 13> log2_coefficients{
    0x1.b5b96fca558e1p-4, 0x1.d8be0817f5ffep-4, 0x1.00ecd7e080215p-3, 0x1.1964ec6fc9491p-3,
    0x1.3703c1f4d0ffep-3, 0x1.5b9ac9b743f0dp-3, 0x1.89f3b1694cffep-3, 0x1.c68f568d3176p-3,
    0x1.0c9a84994022dp-2, 0x1.484b13d7c02a9p-2, 0x1.a61762a7aded9p-2, 0x1.2776c50ef9bfep-1,
    0x1.ec709dc3a03fdp-1,
};
inline constexpr double log2_split = 0x1.6a09e667f3bcdp+0; // mantissas from here on are halved
inline constexpr double subnormal_lift = 0x1p+54;

// exp2 of f in [-1/2, 1/2]: ln(2)^k / k! for k = 14 down to 0.
inline constexpr std::array<double, 15> exp2_coefficients{
    0x1.314964d5878a9p-44, 0x1.816193166d0f9p-40, 0x1.c3bd650fc2986p-36,
    0x1.e8cac7351bb25p-32, 0x1.e4cf5158b8ecap-28, 0x1.b5253d395e7c4p-24,
    0x1.62c0223a5c824p-20, 0x1.ffcbfc588b0c7p-17, 0x1.430912f86c787p-13,
    0x1.5d87fe78a6731p-10, 0x1.3b2ab6fba4e77p-7,  0x1.c6b08d704a0cp-5,
    0x1.ebfbdff82c58fp-3,  0x1.62e42fefa39efp-1,  0x1p+0,
};

// Reduction by pi / 2 = first + second + third; n * first is exact for |n| < 2^20, and its
// difference from the angle always is (33 bits).
inline constexpr double two_over_pi = 0x1.45f306dc9c883p-1;
inline constexpr double half_pi_first = 0x1.921fb544p+0;
inline constexpr double half_pi_second = 0x1.0b4611a626331p-34;
inline constexpr double half_pi_third = 0x1.1701b839a252p-88;
/// (-1)^k / (2k + 1)! for k = 9 down to 1, in z = r^2.
inline constexpr std::array<double, 9> sin_coefficients{
    -0x1.2f49b46814157p-57, 0x1.952c77030ad4ap-49,  -0x1.ae7f3e733b81fp-41,
    0x1.6124613a86d09p-33,  -0x1.ae64567f544e4p-26, 0x1.71de3a556c734p-19,
    -0x1.a01a01a01a01ap-13, 0x1.1111111111111p-7,   -0x1.5555555555555p-3,
};
/// (-1)^k / (2k)! for k = 10 down to 2, in z = r^2.
inline constexpr std::array<double, 9> cos_coefficients{
    0x1.e542ba4020225p-62,  -0x1.6827863b97d97p-53, 0x1.ae7f3e733b81fp-45,
    -0x1.93974a8c07c9dp-37, 0x1.1eed8eff8d898p-29,  -0x1.27e4fb7789f5cp-22,
    0x1.a01a01a01a01ap-16,  -0x1.6c16c16c16c17p-10, 0x1.5555555555555p-5,
};

} // namespace ovir::compute::exact
