#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <string_view>

/// HOST:PORT as configuration files and command lines write it.
namespace ovir::apps {

enum class address_use : std::uint8_t {
  listen,  ///< port 0 is any free one; 0.0.0.0 and [::] are every address of the machine
  connect, ///< a place that others reach
};

/// HOST is a name or an IPv4 address of letters, digits, '.', '-' and '_', or an IPv6 address in
/// brackets; PORT is decimal. Checks the form, resolves nothing. `invalid_argument` with what the
/// text must be, to be put behind the name of an option.
[[nodiscard]] result<void> check_address(std::string_view text, address_use use);

/// For addresses that `check_address` accepted.
[[nodiscard]] bool is_wildcard(std::string_view address) noexcept;
[[nodiscard]] bool has_any_port(std::string_view address) noexcept;

} // namespace ovir::apps
