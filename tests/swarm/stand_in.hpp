#pragma once

#include "compute/kernels/kernels.hpp"

namespace ovir::swarm {

/// Kernels that mix their inputs instead of multiplying them: any other weight, activation or
/// position gives another result, as those of exact-1 do. The results mean nothing.
[[nodiscard]] const compute::kernel_set& kernels_stand_in() noexcept;
/// The same as `honest`, but that one product in many has a wrong bit. For one set at a time.
[[nodiscard]] const compute::kernel_set& kernels_lying(const compute::kernel_set& honest) noexcept;
/// How many lies were told so far.
[[nodiscard]] std::uint64_t lies_told() noexcept;
/// From now on `compute::kernels_reference` means the stand-in, or the real one again.
void stand_in_for_reference(bool yes) noexcept;
/// What it means at present.
[[nodiscard]] const compute::kernel_set& reference() noexcept;

} // namespace ovir::swarm
