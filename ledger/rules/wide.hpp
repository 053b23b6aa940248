#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <limits>
#include <string_view>

/// Whole numbers of credits. One credit is 1,000,000 micro-credits; amounts are micro-credits in 64
/// bits, and every product is formed in 128.
namespace ovir::ledger {

__extension__ typedef unsigned __int128 wide; // not ISO C++; the keyword keeps -Wpedantic quiet

using micro_credits = std::uint64_t;

inline constexpr micro_credits credit = 1'000'000;

/// The number if it fits into 64 bits, else `over_limit` naming `what`.
[[nodiscard]] inline result<std::uint64_t> narrow(wide value, std::string_view what) {
  if (value > std::numeric_limits<std::uint64_t>::max()) {
    return fail(errc::over_limit, "{} is more than 64 bits hold; use smaller numbers", what);
  }
  return static_cast<std::uint64_t>(value);
}

[[nodiscard]] inline bool add_overflows(std::uint64_t a, std::uint64_t b,
                                        std::uint64_t& sum) noexcept {
  return __builtin_add_overflow(a, b, &sum);
}

/// floor(a * b / c). Precondition: c > 0 and the quotient fits, as it does when b <= c.
[[nodiscard]] constexpr std::uint64_t scaled(std::uint64_t a, std::uint64_t b,
                                             std::uint64_t c) noexcept {
  return static_cast<std::uint64_t>(wide{a} * b / c);
}

} // namespace ovir::ledger
