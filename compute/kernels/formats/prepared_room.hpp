#pragma once

#include "compute/kernels/kernels.hpp"

namespace ovir::compute::x86 {

/// Memory of the calling thread for what the kernels prepare of a batch (`batch_view::prepared`).
/// Stays where it is, and what was written there, until this thread asks for more of it.
[[nodiscard]] unsigned char* room_to_prepare(const quantized_batch& x);

/// Whether that memory holds what a product of `w` and `x` needs, since an earlier one of the
/// series of `kept`, which may be null. From here on `kept` says that it does, so the caller
/// multiplies.
[[nodiscard]] bool is_prepared(preparation* kept, const weight& w,
                               const quantized_batch& x) noexcept;

} // namespace ovir::compute::x86
