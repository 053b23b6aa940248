#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// Text of the repository as the tidy rules see it. Everything here is a pure function of text.
namespace ovir::tidy {

/// One file of the repository. `path` is relative to the root, with forward slashes.
struct source {
  std::string path;
  std::string text;
};

/// A broken rule, printed as "path:line: what".
struct finding {
  std::string path;
  std::size_t line{0}; ///< from 1; 0 when the file as a whole is meant
  std::string what;
};

[[nodiscard]] std::string to_string(const finding& f);

[[nodiscard]] std::vector<std::string_view> lines_of(std::string_view text);

/// C++ with comments and the contents of string and character literals blanked out. Line breaks
/// stay, so that line numbers do.
[[nodiscard]] std::string without_comments_and_strings(std::string_view text);

/// C++ with comments blanked out and literals kept.
[[nodiscard]] std::string without_comments(std::string_view text);

/// Directives and their continued lines blanked: macros have braces of their own.
[[nodiscard]] std::string without_directives(std::string_view text);

/// An include directive: `quoted` for "x", not for <x>.
struct include {
  std::string target;
  bool quoted{false};
  std::size_t line{0};
};

[[nodiscard]] std::vector<include> includes_of(std::string_view text);

/// True for .cpp and .hpp files.
[[nodiscard]] bool is_cpp(std::string_view path);

/// The path's first folder: "compute" of "compute/arch/llama.cpp"; empty for files at the root.
[[nodiscard]] std::string_view folder_of(std::string_view path);

/// Shell-like match where `*` stands for any characters, slashes too.
[[nodiscard]] bool matches(std::string_view pattern, std::string_view text);

} // namespace ovir::tidy
