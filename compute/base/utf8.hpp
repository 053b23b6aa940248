#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ovir::compute {

enum class utf8_status : std::uint8_t {
  character,  ///< a whole, valid character
  invalid,    ///< bytes that no valid character starts with
  incomplete, ///< the text ends within a character that more bytes could complete
};

/// What a text starts with. For `invalid` and `incomplete`, `bytes` is the length of the maximal
/// subpart (Unicode 15, section 3.9): what one U+FFFD stands for. Never 0.
struct utf8_step {
  utf8_status status{utf8_status::invalid};
  std::uint8_t bytes{1};
  char32_t value{0xFFFD}; ///< the code point of a `character`
};

/// Reads the start of `text`, which must not be empty. Overlong forms, surrogates and values above
/// U+10FFFF are invalid.
[[nodiscard]] utf8_step read_utf8(std::string_view text) noexcept;

/// Appends the encoding of `value`, which must be a Unicode scalar value.
void append_utf8(std::string& out, char32_t value);

/// `text` with one U+FFFD in place of each maximal invalid subpart.
[[nodiscard]] std::string replace_invalid_utf8(std::string_view text);

} // namespace ovir::compute
