#pragma once

#include "verify/proofs/field.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// The code of a commitment. A message of n symbols in the extension is a polynomial of degree
/// below n; its word holds the values at all N-th roots of unity. Symbol m of a message is
/// w[2m] + w[2m + 1] i for integers w, so that two weights share one.
namespace ovir::proofs {

/// N is at least so many times n: two words of different messages agree at less than N / 8 places.
inline constexpr std::uint32_t code_blowup = 8;

/// N for messages of `symbols` > 0: 8 times the next power of two.
[[nodiscard]] std::uint32_t code_length(std::uint32_t symbols) noexcept;

/// A root of unity of the order `order`, a power of two up to 2^61.
[[nodiscard]] element root_of_unity(std::uint64_t order) noexcept;

/// The values of polynomials at one coset of the roots of unity of order M, the next power of two
/// of a message's length: N / M of them make a word.
class coset_transform {
public:
  /// Coset `index` < `code_blowup` of messages of `symbols`: places index + 8 * j, j < M.
  coset_transform(std::uint32_t symbols, std::uint32_t index);

  [[nodiscard]] std::uint32_t size() const noexcept {
    return static_cast<std::uint32_t>(shifts_.size());
  }
  /// In place: `values` [size()] has a message, continued by zeros, and gets value `order(j)` at j.
  void apply(std::span<element> values) const;
  /// Which place of the coset stands at `j` behind `apply`: the bits of j in reverse.
  [[nodiscard]] std::uint32_t order(std::uint32_t j) const noexcept;

private:
  /// Two halvings of one block of 4 * `quarter` values.
  void quarter_block(element* v, std::size_t quarter, std::size_t stride) const;

  std::vector<element> shifts_; ///< powers of the coset's first place
  std::vector<element> roots_;  ///< powers of the root of order M
};

/// 1, x, x^2, ... [count].
[[nodiscard]] std::vector<element> powers(element x, std::size_t count);

} // namespace ovir::proofs
