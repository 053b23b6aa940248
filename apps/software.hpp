#pragma once

#include "compute/kernels/kernels.hpp"

#include <string>

namespace ovir::apps {

/// How this program calls itself in what it signs: version, instruction set, and the first digits
/// of the digest of the kernels' test vectors.
[[nodiscard]] std::string software_text(const compute::kernel_set& kernels);

} // namespace ovir::apps
