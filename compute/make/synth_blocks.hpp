#pragma once

#include "compute/tensor/tensor.hpp"

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

/// Random weights drawn directly in their file encodings. A part of `synth`.
namespace ovir::compute {

/// xoshiro256** seeded through splitmix64: integers only, so the same on every machine. Not for
/// anything secret.
class synth_random {
public:
  /// Generators of different (seed, stream) are independent for our purposes.
  synth_random(std::uint64_t seed, std::uint64_t stream) noexcept;

  [[nodiscard]] std::uint64_t next() noexcept {
    const std::uint64_t drawn = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17U;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return drawn;
  }
  /// Uniform enough in [0, bound); bound below 2^32.
  [[nodiscard]] std::uint32_t below(std::uint32_t bound) noexcept {
    return static_cast<std::uint32_t>(((next() >> 32U) * bound) >> 32U);
  }
  void fill(std::span<std::byte> out) noexcept;

private:
  std::array<std::uint64_t, 4> state_{};
};

/// Fills whole blocks of one matrix with random weights of mean about 0 and the given standard
/// deviation. One per tensor.
class synth_blocks {
public:
  synth_blocks(tensor_type type, double deviation);

  /// `out` holds whole blocks.
  void fill(synth_random& random, std::span<std::byte> out) const;

private:
  void fill_floats(synth_random& random, std::span<std::byte> out) const;
  void fill_q8_0(synth_random& random, std::span<std::byte> out) const;
  void fill_q4_0(synth_random& random, std::span<std::byte> out) const;
  void fill_q4_k_or_q5_k(synth_random& random, std::span<std::byte> out) const;
  void fill_q6_k(synth_random& random, std::span<std::byte> out) const;
  void fill_q2_k(synth_random& random, std::span<std::byte> out) const;
  void fill_signed(synth_random& random, std::span<std::byte> out) const;

  tensor_type type_;
  /// Block scales to choose from, as fp16: some spread around the one that gives the deviation.
  std::array<std::uint16_t, 256> scales_{};
  /// Scales of the minimums of Q2_K, Q4_K and Q5_K that centre their weights, one for each of
  /// `scales_`.
  std::array<std::uint16_t, 256> mins_{};
  /// Weights of the float types by the sum of four random bytes, in the type's encoding.
  std::array<std::uint32_t, 1021> values_{};
};

} // namespace ovir::compute
