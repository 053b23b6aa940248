#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::templates {

enum class token_kind : std::uint8_t {
  data,        ///< text between tags
  print_begin, ///< {{
  print_end,   ///< }}
  block_begin, ///< {%
  block_end,   ///< %}
  name,
  text, ///< a string literal, unescaped
  integer,
  number,
  sign, ///< an operator or bracket
  end,
};

struct token {
  token_kind what{token_kind::end};
  std::string text;
  std::uint32_t line{1};
};

/// Cuts a template into tokens as Jinja does with trim_blocks and lstrip_blocks: the newline behind
/// a block tag and the blanks before it on its line go, `-` takes all white space on its side, `+`
/// keeps it, comments and one last newline go, `raw` is data. Ends with a token `end`. `malformed`
/// with the line, `over_limit` beyond limits::template_bytes_max and template_tokens_max.
[[nodiscard]] result<std::vector<token>> tokens_of(std::string_view source);

/// What Python calls white space.
[[nodiscard]] bool is_space(char32_t c) noexcept;
/// How many bytes of white space a text begins or ends with.
[[nodiscard]] std::size_t leading_space(std::string_view text) noexcept;
[[nodiscard]] std::size_t trailing_space(std::string_view text) noexcept;

} // namespace ovir::templates
