#pragma once

#include <string>

namespace ovir {

/// The version of CAF that this program is built with, as `0.17.6`.
[[nodiscard]] std::string caf_version();

} // namespace ovir
