#include "compute/base/utf8.hpp"

#include "messages/check.hpp"

namespace ovir::compute {

namespace {

/// What may follow a lead byte (Unicode 15, table 3-7). Only the second byte's range varies.
struct lead_rule {
  std::uint8_t bytes; ///< length of the character, 0 for a byte that starts none
  std::uint8_t second_min;
  std::uint8_t second_max;
};

constexpr lead_rule rule_of(std::uint8_t lead) noexcept {
  if (lead < 0x80) {
    return {1, 0, 0};
  }
  if (lead < 0xC2 || lead > 0xF4) {
    return {0, 0, 0};
  }
  if (lead < 0xE0) {
    return {2, 0x80, 0xBF};
  }
  if (lead < 0xF0) {
    const std::uint8_t low = lead == 0xE0 ? 0xA0 : 0x80;
    const std::uint8_t high = lead == 0xED ? 0x9F : 0xBF;
    return {3, low, high};
  }
  const std::uint8_t low = lead == 0xF0 ? 0x90 : 0x80;
  const std::uint8_t high = lead == 0xF4 ? 0x8F : 0xBF;
  return {4, low, high};
}

} // namespace

utf8_step read_utf8(std::string_view text) noexcept {
  const auto lead = static_cast<std::uint8_t>(text.front());
  const lead_rule rule = rule_of(lead);
  if (rule.bytes == 0) {
    return {};
  }
  if (rule.bytes == 1) {
    return {utf8_status::character, 1, lead};
  }
  char32_t value = lead & (0x7FU >> rule.bytes);
  for (std::uint8_t i = 1; i < rule.bytes; ++i) {
    if (i == text.size()) {
      return {utf8_status::incomplete, i, 0xFFFD};
    }
    const auto byte = static_cast<std::uint8_t>(text[i]);
    const std::uint8_t low = i == 1 ? rule.second_min : 0x80;
    const std::uint8_t high = i == 1 ? rule.second_max : 0xBF;
    if (byte < low || byte > high) {
      return {utf8_status::invalid, i, 0xFFFD};
    }
    value = (value << 6U) | (byte & 0x3FU);
  }
  return {utf8_status::character, rule.bytes, value};
}

void append_utf8(std::string& out, char32_t value) {
  OVIR_CHECK(value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF),
             static_cast<std::uint32_t>(value));
  const auto push = [&out](char32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (value < 0x80) {
    push(value);
    return;
  }
  if (value < 0x800) {
    push(0xC0U | (value >> 6U));
  } else {
    if (value < 0x10000) {
      push(0xE0U | (value >> 12U));
    } else {
      push(0xF0U | (value >> 18U));
      push(0x80U | ((value >> 12U) & 0x3FU));
    }
    push(0x80U | ((value >> 6U) & 0x3FU));
  }
  push(0x80U | (value & 0x3FU));
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const utf8_step step = read_utf8(text);
    append_utf8(out, step.value);
    text.remove_prefix(step.bytes);
  }
  return out;
}

} // namespace ovir::compute
