#pragma once

#include <string_view>

namespace ovir::compute {

/// The files of compute/devices/source, one behind the other in the order of
/// compute/CMakeLists.txt.
[[nodiscard]] std::string_view kernel_text() noexcept;

} // namespace ovir::compute
