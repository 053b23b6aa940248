#include "apps/ovir/node/toml_text.hpp"

namespace ovir::apps {

std::string toml_text(std::string_view text) {
  std::string out{'"'};
  for (const char c : text) {
    out += c == '"' || c == '\\' ? std::string{'\\'} + c : std::string{c};
  }
  return out + '"';
}

} // namespace ovir::apps
