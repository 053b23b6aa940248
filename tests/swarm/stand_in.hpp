#pragma once

#include "compute/kernels/kernels.hpp"

namespace ovir::swarm {

/// Kernels that mix their inputs instead of multiplying them: any other weight, activation or
/// position gives another result, as those of exact-1 do. The results mean nothing.
/// `as`: whose place they take, for whoever wants two that differ.
[[nodiscard]] const compute::kernel_set& kernels_stand_in(compute::isa as) noexcept;
/// The same as `honest`, but that one product in many has a wrong bit. For one set at a time.
[[nodiscard]] const compute::kernel_set& kernels_lying(const compute::kernel_set& honest) noexcept;
/// How many lies were told since `forget_lies`, from which on the same products lie again.
[[nodiscard]] std::uint64_t lies_told() noexcept;
void forget_lies() noexcept;
/// The same as `honest`, but that it counts what it computes. For one set at a time.
[[nodiscard]] const compute::kernel_set&
kernels_counted(const compute::kernel_set& honest) noexcept;
/// Weights that were multiplied since the process began, in units of which a further row of a
/// product takes one and the first takes `first_row_units`: that one reads the weight.
[[nodiscard]] std::uint64_t units_counted() noexcept;
inline constexpr std::uint64_t first_row_units = 4;
/// From now on `compute::kernels_reference` and its kin mean the stand-ins, or themselves again.
void let_stand_in(bool yes) noexcept;
[[nodiscard]] bool stands_in_now() noexcept;

} // namespace ovir::swarm
