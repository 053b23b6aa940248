#pragma once

#include "templates/rendering.hpp"

namespace ovir::templates {

value call_text_method(rendering& r, const marked_text& self, std::string_view name,
                       const bound& with);
/// At most `most` times; all where it is negative.
value replaced(rendering& r, const marked_text& text, const marked_text& what,
               const marked_text& by, std::int64_t most);

/// False where the text has letters with cases beyond ASCII.
[[nodiscard]] bool has_only_ascii_cases(std::string_view text);
[[nodiscard]] char ascii_upper(char c) noexcept;
[[nodiscard]] char ascii_lower(char c) noexcept;
/// Characters of a text.
[[nodiscard]] std::size_t length_of(std::string_view text) noexcept;

} // namespace ovir::templates
