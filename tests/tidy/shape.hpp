#pragma once

#include "tests/tidy/source_text.hpp"

#include <cstddef>
#include <string>
#include <vector>

/// Lengths and the form of a file.
namespace ovir::tidy {

inline constexpr std::size_t columns_max = 100;
inline constexpr std::size_t function_lines_max = 70;
inline constexpr std::size_t file_lines_max = 600;

/// Lines longer than `columns_max`. Columns are counted in code points.
[[nodiscard]] std::vector<finding> check_columns(const source& file);

[[nodiscard]] std::vector<finding> check_file_length(const source& file);

/// Paths of letters, digits and `_ - . / +`: others come from a slip in a shell.
[[nodiscard]] std::vector<finding> check_file_name(const source& file);

/// A function definition with the lines from its declaration to its closing brace.
struct function_extent {
  std::string head; ///< what stands before its brace, on one line
  std::size_t line{0};
  std::size_t lines{0};
};

/// Functions of code formatted by our .clang-format, found by braces: one that opens outside any
/// function, after a blank, where the text before it has a parenthesis and does not declare a
/// namespace or type.
[[nodiscard]] std::vector<function_extent> functions_of(std::string_view text);

[[nodiscard]] std::vector<finding> check_function_lengths(const source& file);

/// Headers begin with `#pragma once`; an x.cpp beside an x.hpp includes that first.
[[nodiscard]] std::vector<finding> check_form(const source& file, bool has_own_header);

} // namespace ovir::tidy
