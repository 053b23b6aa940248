#pragma once

#include <cstdint>
#include <string_view>

namespace ovir {

/// How an answer ended. The values are those of the formats.
enum class finish_reason : std::uint8_t {
  stop = 0,      ///< at a token or a text that ends it
  length = 1,    ///< at its last token
  cancelled = 2, ///< by its client
};

/// The word of documents and shells, as `stop`.
[[nodiscard]] constexpr std::string_view to_string(finish_reason end) noexcept {
  switch (end) {
  case finish_reason::stop: return "stop";
  case finish_reason::length: return "length";
  case finish_reason::cancelled: return "cancelled";
  }
  return "";
}

} // namespace ovir
