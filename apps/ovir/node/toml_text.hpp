#pragma once

#include <string>
#include <string_view>

namespace ovir::apps {

/// A text of TOML, in quotes. Precondition: no control characters.
[[nodiscard]] std::string toml_text(std::string_view text);

} // namespace ovir::apps
