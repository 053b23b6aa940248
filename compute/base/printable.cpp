#include "compute/base/printable.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <iterator>

namespace ovir::compute {

namespace {

std::uint32_t byte_at(std::string_view text, std::size_t i) {
  return static_cast<std::uint8_t>(text[i]);
}

bool is_continuation(std::string_view text, std::size_t i) {
  return i < text.size() && (byte_at(text, i) & 0xC0U) == 0x80U;
}

/// Value of a character of `bytes` bytes that `utf8_character_bytes` accepted.
std::uint32_t code_point(std::string_view text, std::size_t bytes) {
  if (bytes == 1) {
    return byte_at(text, 0);
  }
  std::uint32_t value = byte_at(text, 0) & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    value = (value << 6U) | (byte_at(text, i) & 0x3FU);
  }
  return value;
}

/// C0 and C1 controls, line separators, and the marks that change the direction of text.
bool disturbs_a_terminal(std::uint32_t c) {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) ||
         (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF;
}

} // namespace

std::size_t utf8_character_bytes(std::string_view text) noexcept {
  if (text.empty()) {
    return 0;
  }
  const std::uint32_t lead = byte_at(text, 0);
  if (lead < 0x80) {
    return 1;
  }
  if (lead < 0xC2 || lead > 0xF4 || !is_continuation(text, 1)) {
    return 0;
  }
  if (lead < 0xE0) {
    return 2;
  }
  const std::uint32_t second = byte_at(text, 1);
  if (lead < 0xF0) {
    const bool overlong = lead == 0xE0 && second < 0xA0;
    const bool surrogate = lead == 0xED && second >= 0xA0;
    return !overlong && !surrogate && is_continuation(text, 2) ? 3 : 0;
  }
  const bool overlong = lead == 0xF0 && second < 0x90;
  const bool beyond = lead == 0xF4 && second >= 0x90;
  return !overlong && !beyond && is_continuation(text, 2) && is_continuation(text, 3) ? 4 : 0;
}

bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t bytes = utf8_character_bytes(text);
    if (bytes == 0) {
      return false;
    }
    text.remove_prefix(bytes);
  }
  return true;
}

std::string printable(std::string_view text, std::size_t bytes_max) {
  std::string out;
  while (!text.empty()) {
    if (out.size() >= bytes_max) {
      return out + "...";
    }
    const std::size_t bytes = utf8_character_bytes(text);
    const std::size_t taken = bytes == 0 ? 1 : bytes;
    const bool escape = bytes == 0 || disturbs_a_terminal(code_point(text, bytes));
    if (text[0] == '\n') {
      out += "\\n";
    } else if (text[0] == '\t') {
      out += "\\t";
    } else if (text[0] == '\\') {
      out += "\\\\";
    } else if (escape) {
      for (std::size_t i = 0; i < taken; ++i) {
        fmt::format_to(std::back_inserter(out), "\\x{:02x}", byte_at(text, i));
      }
    } else {
      out += text.substr(0, taken);
    }
    text.remove_prefix(taken);
  }
  return out;
}

} // namespace ovir::compute
