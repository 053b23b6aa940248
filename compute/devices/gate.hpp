#pragma once

#include "compute/devices/device.hpp"
#include "messages/result.hpp"

/// What a device must show before it computes anything for others (docs/formats/exact-1.md, "What a
/// device must guarantee").
namespace ovir::compute {

/// Runs known-answer vectors through every kernel: operations of binary32 at their edges, and what
/// each kernel makes of pseudo-random and extreme inputs, which the reference kernels compute
/// beside. `self_test_failed` names the first vector that differs; the device must not be used
/// then. Without a compiler's work well below a second.
[[nodiscard]] result<void> check_vectors(device& d);

} // namespace ovir::compute
