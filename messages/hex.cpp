#include "messages/hex.hpp"

namespace ovir {

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte b : bytes) {
    text += digits[std::to_integer<unsigned>(b) >> 4U];
    text += digits[std::to_integer<unsigned>(b) & 15U];
  }
  return text;
}

result<std::vector<std::byte>> bytes_from_hex(std::string_view text, std::string_view what,
                                              std::size_t bytes_max) {
  const auto value = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  if (text.size() % 2 != 0 || text.size() / 2 > bytes_max) {
    return fail(errc::malformed, "{} is an even number of hexadecimal digits, of at most {} bytes",
                what, bytes_max);
  }
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() / 2);
  for (std::size_t i = 0; i < text.size(); i += 2) {
    if (value(text[i]) < 0 || value(text[i + 1]) < 0) {
      return fail(errc::malformed, "{} is lower-case hexadecimal digits, and digit {} is none",
                  what, value(text[i]) < 0 ? i : i + 1);
    }
    bytes.push_back(static_cast<std::byte>(16 * value(text[i]) + value(text[i + 1])));
  }
  return bytes;
}

} // namespace ovir
