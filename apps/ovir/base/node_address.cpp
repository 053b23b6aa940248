#include "apps/ovir/base/node_address.hpp"

#include "messages/limits/general.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace ovir::apps {

namespace {

constexpr std::string_view letters_and_digits =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

bool is_host(std::string_view host) {
  const auto made_of = [](std::string_view text, std::string_view more) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
      return letters_and_digits.find(c) != std::string_view::npos ||
             more.find(c) != std::string_view::npos;
    });
  };
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    const std::string_view inside = host.substr(1, host.size() - 2);
    return made_of(inside, ":.%") && std::count(inside.begin(), inside.end(), ':') >= 2;
  }
  return made_of(host, ".-_") && host.front() != '-';
}

std::optional<std::uint16_t> port_of(std::string_view digits) {
  std::uint16_t port = 0;
  const char* const end = digits.data() + digits.size();
  const auto [stop, code] = std::from_chars(digits.data(), end, port);
  const bool plain = digits.size() == 1 || (digits.size() > 1 && digits.front() != '0');
  return code == std::errc{} && stop == end && plain ? std::optional{port} : std::nullopt;
}

std::string_view host_of(std::string_view address) {
  return address.substr(0, std::min(address.rfind(':'), address.size()));
}

} // namespace

result<void> check_address(std::string_view text, address_use use) {
  const std::size_t colon = text.rfind(':');
  const auto port =
      colon == std::string_view::npos ? std::nullopt : port_of(text.substr(colon + 1));
  if (text.size() > limits::address_bytes_max || !port || !is_host(text.substr(0, colon))) {
    return fail(errc::invalid_argument,
                "must be HOST:PORT with a port of at most 65535, such as node-1.example:7300 or "
                "[fd00::1]:7300");
  }
  if (use == address_use::connect && *port == 0) {
    return fail(errc::invalid_argument, "needs the port that others connect to, not 0");
  }
  if (use == address_use::connect && is_wildcard(text)) {
    return fail(errc::invalid_argument,
                "must be an address that others can connect to, not {}, which means every address "
                "of one machine",
                host_of(text));
  }
  return {};
}

bool is_wildcard(std::string_view address) noexcept {
  const std::string_view host = host_of(address);
  return host == "0.0.0.0" || host == "[::]";
}

bool has_any_port(std::string_view address) noexcept { return address.ends_with(":0"); }

} // namespace ovir::apps
