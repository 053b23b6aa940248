#include "verify/proofs/multilinear.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <bit>

namespace ovir::proofs {

std::uint32_t variables_of(std::size_t size) noexcept {
  return static_cast<std::uint32_t>(std::bit_width(size - 1));
}

std::vector<element> equality_table(std::span<const element> point) {
  std::vector<element> table(std::size_t{1} << point.size());
  table[0] = one;
  for (std::size_t j = 0; j < point.size(); ++j) {
    const std::size_t half = std::size_t{1} << j;
    for (std::size_t i = 0; i < half; ++i) {
      table[half + i] = table[i] * point[j];
      table[i] = table[i] - table[half + i];
    }
  }
  return table;
}

element inner_product(std::span<const element> a, std::span<const element> b) {
  element sum = zero;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    sum = sum + a[i] * b[i];
  }
  return sum;
}

element inner_product(std::span<const element> weights, std::span<const std::int64_t> integers) {
  OVIR_CHECK(weights.size() >= integers.size(), weights.size(), integers.size());
  constexpr std::size_t terms = 8; // of 2^60 each: what one sum may hold
  element sum = zero;
  for (std::size_t i = 0; i < integers.size(); i += terms) {
    weighed_sum part;
    for (std::size_t j = i; j < std::min(i + terms, integers.size()); ++j) {
      part.add(weights[j], integers[j]);
    }
    sum = sum + part.value();
  }
  return sum;
}

} // namespace ovir::proofs
