#include "messages/cid.hpp"

#include <cstdint>

namespace ovir {

namespace {

constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz234567";
constexpr std::size_t front_bytes = 4; // version, codec, hash, length
constexpr std::size_t text_bytes = 1 + ((front_bytes + digest::size) * 8 + 4) / 5;

} // namespace

result<digest> digest_from_cid(std::string_view text) {
  const auto wrong = [] {
    return fail(errc::malformed,
                "this is no name by content; one begins with {} and has {} letters and digits, as "
                "ovir model manifest prints it",
                cid_begin, text_bytes);
  };
  if (text.size() != text_bytes || !text.starts_with(cid_begin)) {
    return wrong();
  }
  digest found;
  std::uint32_t bits = 0;
  std::uint32_t held = 0;
  std::size_t bytes = 0;
  for (const char c : text.substr(1)) {
    const auto value = letters.find(c);
    if (value == std::string_view::npos) {
      return wrong();
    }
    held = (held << 5U) | static_cast<std::uint32_t>(value);
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      if (bytes >= front_bytes && bytes < front_bytes + digest::size) {
        found.bytes.at(bytes - front_bytes) = static_cast<std::uint8_t>(held >> bits);
      }
      ++bytes;
    }
    held &= 0xffU;
  }
  // The last letter's spare bits and the front have one form.
  if (to_cid(found) != text) {
    return wrong();
  }
  return found;
}

} // namespace ovir
