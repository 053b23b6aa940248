#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace ovir::actors {

/// What carries the channels between members. Shells always connect over TCP.
enum class link_transport : std::uint8_t {
  tcp,
  quic,      ///< nothing else: nodes that do not speak it are not reached
  automatic, ///< QUIC where the other side answers over it, else TCP; both are listened on
};

/// As a configuration has them, in the order of the enumerators.
inline constexpr std::array<std::string_view, 3> link_transport_words{"tcp", "quic", "auto"};

[[nodiscard]] constexpr std::string_view to_string(link_transport transport) noexcept {
  return link_transport_words[static_cast<std::size_t>(transport)];
}
[[nodiscard]] constexpr std::optional<link_transport>
link_transport_from(std::string_view word) noexcept {
  for (std::size_t i = 0; i < link_transport_words.size(); ++i) {
    if (link_transport_words[i] == word) {
      return static_cast<link_transport>(i);
    }
  }
  return std::nullopt;
}

} // namespace ovir::actors
