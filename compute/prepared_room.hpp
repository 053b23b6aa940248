#pragma once

#include "compute/kernels.hpp"

namespace ovir::compute::x86 {

/// Memory of the calling thread for what the kernels prepare of a batch (`batch_view::prepared`).
/// Valid until the next call on this thread.
[[nodiscard]] unsigned char* room_to_prepare(const quantized_batch& x);

} // namespace ovir::compute::x86
