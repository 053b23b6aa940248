#include "apps/ovir/base/token_words.hpp"

#include "messages/limits/general.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace ovir::apps {

result<role_set> roles_from(std::string_view text) {
  role_set roles;
  while (true) {
    const std::size_t comma = text.find(',');
    OVIR_ASSIGN(const role r, role_from_text(text.substr(0, comma)));
    roles.add(r);
    if (comma == std::string_view::npos) {
      return roles;
    }
    text.remove_prefix(comma + 1);
  }
}

result<std::chrono::seconds> lifetime_from(std::string_view text) {
  struct unit {
    char letter;
    std::chrono::seconds length;
  };
  using namespace std::chrono_literals;
  constexpr std::array units{unit{'s', 1s}, unit{'m', 1min}, unit{'h', 1h}, unit{'d', 24h}};
  constexpr std::chrono::seconds most = limits::token_lifetime_max;
  std::uint32_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, wrong] = std::from_chars(text.data(), end, count);
  for (const unit& u : units) {
    if (wrong == std::errc{} && end - rest == 1 && *rest == u.letter && count > 0 &&
        count <= most / u.length) {
      return count * u.length;
    }
  }
  return fail(errc::invalid_argument,
              "--expires is '{}'; give a whole number with s, m, h or d, such as 24h, and at most "
              "{}d",
              text, std::chrono::duration_cast<std::chrono::hours>(most).count() / 24);
}

std::string span_text(std::uint64_t seconds) {
  return seconds < 120       ? fmt::format("{} s", seconds)
         : seconds < 7'200   ? fmt::format("{} min", seconds / 60)
         : seconds < 172'800 ? fmt::format("{} h", seconds / 3'600)
                             : fmt::format("{} days", seconds / 86'400);
}

} // namespace ovir::apps
