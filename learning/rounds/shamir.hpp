#pragma once

#include "learning/rounds/mask_crypto.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

/// Shamir's secret sharing (CACM 22(11), 1979) over the field of p = 2^61 - 1. 32 bytes are five
/// numbers of 56 bits (the last of 32), each shared by a polynomial of its own. Running time does
/// not depend on secrets.
namespace ovir::learning {

inline constexpr std::uint64_t share_prime = (std::uint64_t{1} << 61U) - 1;
inline constexpr std::size_t share_numbers = 5;

struct secret_share {
  std::uint32_t at{0}; ///< where the polynomials are evaluated; not 0
  std::array<std::uint64_t, share_numbers> values{};

  friend bool operator==(const secret_share&, const secret_share&) = default;
};

/// a * b and a + b below p, of what is below p.
[[nodiscard]] std::uint64_t share_product(std::uint64_t a, std::uint64_t b) noexcept;
[[nodiscard]] std::uint64_t share_sum(std::uint64_t a, std::uint64_t b) noexcept;

/// A share for each of `places`, which are distinct and not 0; any `threshold` of them rebuild it.
[[nodiscard]] std::vector<secret_share> split(const secret32& secret, std::uint32_t threshold,
                                              std::span<const std::uint32_t> places,
                                              keystream& chance);

/// From all of `shares`: distinct places, not 0, numbers below p. `malformed` else, or where what
/// comes out is no 32 bytes. Too few or wrong shares give another secret: the caller compares.
[[nodiscard]] result<secret32> rebuilt(std::span<const secret_share> shares);

} // namespace ovir::learning
