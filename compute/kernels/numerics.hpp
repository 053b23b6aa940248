#pragma once

#include "compute/kernels/kernels.hpp"
#include "messages/digest.hpp"
#include "messages/result.hpp"

#include <bit>
#include <climits>
#include <cstdint>
#include <limits>

/// What exact-1 needs of the platform, asserted at compile time and at start-up.
namespace ovir::compute {

static_assert(std::numeric_limits<float>::is_iec559 && sizeof(float) == 4);
static_assert(std::numeric_limits<double>::is_iec559 && sizeof(double) == 8);
static_assert(std::numeric_limits<float>::digits == 24);
static_assert(std::numeric_limits<double>::digits == 53);
static_assert(std::endian::native == std::endian::little, "formats and kernels are little-endian");
static_assert(CHAR_BIT == 8);
static_assert(static_cast<std::uint8_t>(std::int8_t{-1}) == 0xFF && (-3 >> 1) == -2,
              "two's complement with arithmetic shifts");
#if defined(__FLT_EVAL_METHOD__)
static_assert(__FLT_EVAL_METHOD__ == 0, "no excess precision (x87)");
#endif
#if defined(__FAST_MATH__)
#error "exact-1 cannot be built with -ffast-math"
#endif

/// True when the calling thread rounds to nearest even and keeps subnormals: flush-to-zero and
/// denormals-are-zero are off. Compute threads assert it, because libraries are known to change it.
[[nodiscard]] bool rounding_is_exact() noexcept;

/// Runs fixed vectors, pseudo-random and extreme, through every function of the reference and of
/// `chosen`, whose products take weights as rows and packed, and compares bits. `self_test_failed`
/// names the operation and the first element that differs; whoever gets it must not serve. A few
/// milliseconds.
[[nodiscard]] result<void> self_test(const kernel_set& chosen);

/// Digest of what the reference and the elementary functions make of the same vectors: the value
/// that, with the profile's name, says which arithmetic made a result.
[[nodiscard]] digest profile_digest();

} // namespace ovir::compute
