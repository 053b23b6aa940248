#pragma once

#include "compute/kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

/// Inputs for comparing kernel sets: weights and activations that are random, or as large as the
/// bounds of exact-1, section 4, allow; and what two sets are compared by.
namespace ovir::test {

/// A seeded generator. OVIR_SEED in the environment replaces the seed, to look further.
class kernel_random {
public:
  explicit kernel_random(std::uint64_t seed);

  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }
  [[nodiscard]] std::uint64_t next() { return engine_(); }
  /// In [0, bound).
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>(engine_() % bound);
  }
  [[nodiscard]] float in(float low, float high);
  /// Any finite float: every exponent and sign is equally likely.
  [[nodiscard]] float any_finite();
  [[nodiscard]] std::vector<float> floats(std::size_t n, float magnitude);
  /// Finite fp16 bits, subnormals and both zeros among them, of at most the given magnitude bits.
  [[nodiscard]] std::uint16_t half(std::uint16_t most);

private:
  std::uint64_t seed_;
  std::mt19937_64 engine_;
};

enum class filling : std::uint8_t {
  random,  ///< any bytes, scales up to a bound
  largest, ///< every weight, scale and D at the end of its range, signs at random
  zeros,   ///< D and dmin zero of both signs, the rest random
};

/// A matrix that owns its bytes.
struct owned_weight {
  std::vector<std::byte> bytes;
  compute::weight view;
};

/// `scale_most`: fp16 bits bounding |D| and |M|.
[[nodiscard]] owned_weight make_quantized(kernel_random& random, compute::tensor_type type,
                                          std::uint32_t rows, std::uint32_t cols, filling how,
                                          std::uint16_t scale_most);

/// F32, F16 or BF16 weights, any finite bits of moderate exponents.
[[nodiscard]] owned_weight make_floats(kernel_random& random, compute::tensor_type type,
                                       std::uint32_t rows, std::uint32_t cols);

/// Activations written directly, not quantised from floats, so that k and m reach their bounds.
[[nodiscard]] compute::quantized_batch make_batch(kernel_random& random,
                                                  compute::activation_form form,
                                                  std::uint32_t tokens, std::uint32_t cols,
                                                  filling how);

/// Every byte of the panels of `w`.
[[nodiscard]] std::vector<std::byte> packed(const compute::weight& w);

/// Fails with the first difference in bits. Any NaN equals any other: exact-1 treats all of them as
/// errors.
void expect_same(const std::vector<float>& got, const std::vector<float>& wanted,
                 const std::string& what);

} // namespace ovir::test
