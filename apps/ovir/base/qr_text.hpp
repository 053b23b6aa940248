#pragma once

#include "messages/result.hpp"

#include <string>
#include <string_view>

namespace ovir::apps {

/// `text` as a QR code for a terminal: two modules to a character, light ones drawn, within the
/// quiet zone that readers want, in black and white whatever the terminal's colours are.
/// `over_limit` for text that no code holds (about 2,900 bytes).
[[nodiscard]] result<std::string> qr_text(std::string_view text);

} // namespace ovir::apps
