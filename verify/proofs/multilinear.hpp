#pragma once

#include "verify/proofs/field.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// Multilinear extensions. A table over n bits is a function on {0, 1}^n: bit j of the index is
/// variable j. Shorter tables are continued by zeros.
namespace ovir::proofs {

/// The number of variables of a table of `size` > 0 entries.
[[nodiscard]] std::uint32_t variables_of(std::size_t size) noexcept;

/// eq(point, b) for all b: the product over j of point[j] where bit j of b is set, 1 - point[j]
/// elsewhere. [2^n].
[[nodiscard]] std::vector<element> equality_table(std::span<const element> point);

/// Sum of a_i * b_i over the shorter of both.
[[nodiscard]] element inner_product(std::span<const element> a, std::span<const element> b);

/// Sum of weights[i] * integers[i], |integers| < 2^60. `weights` may be longer.
[[nodiscard]] element inner_product(std::span<const element> weights,
                                    std::span<const std::int64_t> integers);

} // namespace ovir::proofs
