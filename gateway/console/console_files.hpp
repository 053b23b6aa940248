#pragma once

#include <string_view>

namespace ovir::gateway {

/// A file of gateway/console/page, as it lies in the program.
struct console_file {
  std::string_view name; ///< behind /console/; the page itself has none
  std::string_view type;
  std::string_view bytes;
};

/// Null when there is no such file.
[[nodiscard]] const console_file* find_console_file(std::string_view name);

} // namespace ovir::gateway
