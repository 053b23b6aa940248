#pragma once

#include "compute/base/parallel.hpp"
#include "compute/tensor/tensor.hpp"
#include "verify/proofs/field.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

/// A tensor's integer weights as the matrix that is committed to: `fold` rows of the tensor, one
/// behind the other, are one row of it. Weights are decoded when they are read; none are kept.
namespace ovir::proofs {

/// Row `index` of the committed matrix, [fold * cols]; zeros behind the tensor's last row.
void folded_row(const compute::weight& w, std::uint32_t fold, std::uint32_t index,
                std::span<std::int64_t> out);

/// The rows of the committed matrix weighed by `weights` and added, [fold * cols]. Costs a decoding
/// and two products of 64 bits for each weight of the tensor.
[[nodiscard]] std::vector<element> weigh_rows(const compute::weight& w, std::uint32_t fold,
                                              std::span<const element> weights,
                                              compute::parallel_runner& runner);

/// Symbols of the words of all rows at some places, given as the roots of unity there: [places]
/// [folded rows]. Costs four products of 64 bits for each place and two weights.
[[nodiscard]] std::vector<std::vector<element>> symbols_at(const compute::weight& w,
                                                           std::uint32_t fold,
                                                           std::span<const element> places,
                                                           compute::parallel_runner& runner);

} // namespace ovir::proofs
