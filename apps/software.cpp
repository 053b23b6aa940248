#include "apps/software.hpp"

#include "compute/kernels/numerics.hpp"

#include <fmt/format.h>

namespace ovir::apps {

std::string software_text(const compute::kernel_set& kernels) {
  return fmt::format("ovir {} {} {}", OVIR_VERSION, kernels.name,
                     to_hex(compute::profile_digest()).substr(0, 16));
}

} // namespace ovir::apps
