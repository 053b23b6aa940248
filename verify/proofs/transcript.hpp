#pragma once

#include "messages/digest.hpp"
#include "verify/proofs/field.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ovir::proofs {

/// Fiat and Shamir's verifier: every value that a prover states goes in, in order and framed by its
/// label and length, and each challenge depends on all that went in before it. Prover and verifier
/// drive one each. docs/formats/proof.md has the bytes.
class transcript {
public:
  transcript();
  virtual ~transcript() = default;

  /// Virtual for tests alone: they show what leaving a value out costs.
  virtual void absorb(std::string_view label, std::span<const std::byte> bytes);
  void absorb(std::string_view label, std::span<const element> elements);

  /// `count` uniform elements of the extension, up to a factor of 1 + 2^-66 of a probability.
  [[nodiscard]] std::vector<element> challenges(std::string_view label, std::size_t count);
  [[nodiscard]] element challenge(std::string_view label) { return challenges(label, 1).front(); }
  /// `count` uniform numbers below `bound`, a power of two; some may be equal.
  [[nodiscard]] std::vector<std::uint32_t> positions(std::string_view label, std::size_t count,
                                                     std::uint32_t bound);

private:
  [[nodiscard]] std::vector<std::uint8_t> squeeze(std::string_view label, std::size_t bytes);

  digest state_;
};

/// 16 bytes each: re, im.
[[nodiscard]] std::vector<std::byte> bytes_of(std::span<const element> elements);

} // namespace ovir::proofs
