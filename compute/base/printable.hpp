#pragma once

#include <cstddef>
#include <string>
#include <string_view>

/// Text of unknown origin, made safe to print: in errors, tables and logs.
namespace ovir::compute {

/// Bytes of the well-formed UTF-8 character at the start of `text`, 1 to 4; 0 when there is none
/// (end of text, a truncated, overlong or surrogate sequence, a value beyond U+10FFFF).
[[nodiscard]] std::size_t utf8_character_bytes(std::string_view text) noexcept;

[[nodiscard]] bool is_utf8(std::string_view text) noexcept;

/// `text` with control characters, format characters that reorder text, backslashes and bytes that
/// are not UTF-8 written as \n, \t, \\ or \xNN. After about `bytes_max` bytes the rest becomes
/// "...", so a hostile name cannot flood a terminal.
[[nodiscard]] std::string printable(std::string_view text, std::size_t bytes_max = 80);

} // namespace ovir::compute
