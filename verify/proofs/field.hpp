#pragma once

#include <cstdint>
#include <span>

/// The field of p = 2^61 - 1 and its quadratic extension by i, i * i = -1 (p mod 4 is 3, so -1 is
/// no square). Elements are kept below p: one representation each.
namespace ovir::proofs {

__extension__ using uint128 = unsigned __int128;
__extension__ using int128 = __int128;

inline constexpr std::uint64_t prime = (std::uint64_t{1} << 61U) - 1;

/// Below p for any `x` < 2^124: 2^61 = 1, so what is above the 61st bit is added to what is below.
[[nodiscard]] constexpr std::uint64_t reduce(uint128 x) noexcept {
  const std::uint64_t once =
      (static_cast<std::uint64_t>(x) & prime) + static_cast<std::uint64_t>(x >> 61U);
  const std::uint64_t twice = (once & prime) + (once >> 61U);
  return twice >= prime ? twice - prime : twice;
}
/// The same of a signed sum, |x| < 2^124.
[[nodiscard]] constexpr std::uint64_t reduce_signed(int128 x) noexcept {
  const std::uint64_t below = reduce(x < 0 ? -static_cast<uint128>(x) : static_cast<uint128>(x));
  return x < 0 && below != 0 ? prime - below : below;
}
[[nodiscard]] constexpr std::uint64_t base_add(std::uint64_t a, std::uint64_t b) noexcept {
  const std::uint64_t sum = a + b;
  return sum >= prime ? sum - prime : sum;
}
[[nodiscard]] constexpr std::uint64_t base_subtract(std::uint64_t a, std::uint64_t b) noexcept {
  return a >= b ? a - b : a + prime - b;
}

/// re + im * i. Both below p.
struct element {
  std::uint64_t re{0};
  std::uint64_t im{0};

  friend bool operator==(const element&, const element&) = default;
};

inline constexpr element zero{0, 0};
inline constexpr element one{1, 0};

[[nodiscard]] constexpr element operator+(element a, element b) noexcept {
  return {base_add(a.re, b.re), base_add(a.im, b.im)};
}
[[nodiscard]] constexpr element operator-(element a, element b) noexcept {
  return {base_subtract(a.re, b.re), base_subtract(a.im, b.im)};
}
[[nodiscard]] constexpr element operator*(element a, element b) noexcept {
  constexpr uint128 square = uint128{prime} * prime; // keeps the difference above 0
  return {reduce(uint128{a.re} * b.re + (square - uint128{a.im} * b.im)),
          reduce(uint128{a.re} * b.im + uint128{a.im} * b.re)};
}
[[nodiscard]] constexpr element times_base(element a, std::uint64_t b) noexcept {
  return {reduce(uint128{a.re} * b), reduce(uint128{a.im} * b)};
}
/// Of any integer.
[[nodiscard]] constexpr std::uint64_t base_of(std::int64_t x) noexcept { return reduce_signed(x); }

/// Powers by squaring.
[[nodiscard]] constexpr element power(element base, uint128 exponent) noexcept {
  element result = one;
  for (; exponent != 0; exponent >>= 1U) {
    if ((exponent & 1U) != 0) {
      result = result * base;
    }
    base = base * base;
  }
  return result;
}
/// Precondition: not zero. The norm re^2 + im^2 is in the base field, and its inverse is its
/// (p - 2)th power.
[[nodiscard]] constexpr element inverse(element a) noexcept {
  const std::uint64_t norm = reduce(uint128{a.re} * a.re + uint128{a.im} * a.im);
  const std::uint64_t over = power({norm, 0}, prime - 2).re;
  return {reduce(uint128{a.re} * over), reduce(uint128{base_subtract(0, a.im)} * over)};
}

/// A sum of elements times integers, reduced when it is read. The sum of |integer| over all terms
/// stays below 2^63.
class weighed_sum {
public:
  void add(element weight, std::int64_t integer) noexcept {
    re_ += int128{static_cast<std::int64_t>(weight.re)} * integer;
    im_ += int128{static_cast<std::int64_t>(weight.im)} * integer;
  }
  [[nodiscard]] element value() const noexcept { return {reduce_signed(re_), reduce_signed(im_)}; }

private:
  int128 re_{0};
  int128 im_{0};
};

} // namespace ovir::proofs
