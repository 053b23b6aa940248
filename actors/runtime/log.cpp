#include "actors/runtime/log.hpp"

#include "compute/base/printable.hpp"

#include <array>

namespace ovir::actors {

namespace {

constexpr std::array<std::string_view, 4> names{"debug", "info", "warn", "error"};

} // namespace

std::string_view to_string(log_level level) noexcept {
  return names[static_cast<std::size_t>(level)];
}

result<log_level> log_level_from_text(std::string_view text) {
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) {
      return static_cast<log_level>(i);
    }
  }
  return fail(errc::invalid_argument, "'{}' is no log level; they are {}",
              compute::printable(text, 32), fmt::join(names, ", "));
}

} // namespace ovir::actors
