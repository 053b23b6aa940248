#include "tests/tidy/shape.hpp"

#include <algorithm>
#include <cctype>
#include <regex>

namespace ovir::tidy {

namespace {

std::size_t code_points(std::string_view line) {
  return static_cast<std::size_t>(std::count_if(line.begin(), line.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U;
  }));
}

/// What stands before a brace without access specifiers and template parameters.
std::string essence(std::string_view head) {
  static const std::regex noise{
      R"(^\s*((public|private|protected)\s*:|template\s*<[^{}()]*>|inline|constexpr|static)\s*)"};
  std::string text{head};
  std::smatch match;
  while (std::regex_search(text, match, noise)) {
    text = match.suffix();
  }
  return text;
}

bool declares_scope(const std::string& head) {
  static const std::regex scope{
      R"re(^\s*((namespace|class|struct|union|enum)\b|extern\s*"\s*"\s*$))re"};
  return std::regex_search(head, scope);
}

/// Walks over code without comments, literals and directives.
class function_finder {
public:
  explicit function_finder(std::string_view code) : code_(code) {}

  std::vector<function_extent> run() {
    for (std::size_t i = 0; i < code_.size(); ++i) {
      const char c = code_[i];
      if (c == '\n') {
        ++line_;
      } else if (c == '{') {
        open(i);
      } else if (c == '}') {
        close(i);
      } else if (c == ';' && skipped_ == 0) {
        head_first_ = i + 1;
      }
    }
    return std::move(found_);
  }

private:
  void open(std::size_t at) {
    if (skipped_ > 0) {
      ++skipped_;
      return;
    }
    const std::string head = essence(code_.substr(head_first_, at - head_first_));
    const bool is_initializer = at == 0 || code_[at - 1] != ' ' || ends_with_equals(head);
    if (is_initializer && !declares_scope(head)) {
      skipped_ = 1;
      function_ = false;
    } else if (declares_scope(head) || head.find('(') == std::string::npos) {
      head_first_ = at + 1;
    } else {
      skipped_ = 1;
      function_ = true;
      begin_function(head);
    }
  }

  void close(std::size_t at) {
    if (skipped_ == 0) {
      head_first_ = at + 1; // a namespace or type ends
      return;
    }
    if (--skipped_ > 0 || !function_) {
      return; // after an initializer the same declaration goes on
    }
    found_.back().lines = line_ - found_.back().line + 1;
    head_first_ = at + 1;
  }

  void begin_function(const std::string& head) {
    const std::size_t first = std::min(head.find_first_not_of(" \n"), head.size());
    const auto breaks =
        std::count(head.begin() + static_cast<std::ptrdiff_t>(first), head.end(), '\n');
    std::string flat = head.substr(first);
    std::replace(flat.begin(), flat.end(), '\n', ' ');
    found_.push_back({std::move(flat), line_ - static_cast<std::size_t>(breaks), 0});
  }

  static bool ends_with_equals(const std::string& head) {
    const std::size_t last = head.find_last_not_of(" \n");
    return last != std::string::npos && head[last] == '=';
  }

  std::string_view code_;
  std::vector<function_extent> found_;
  std::size_t line_{1};
  std::size_t head_first_{0};
  std::size_t skipped_{0}; ///< braces open inside a function or initializer
  bool function_{false};   ///< ... which is a function
};

} // namespace

std::vector<finding> check_columns(const source& file) {
  std::vector<finding> found;
  std::size_t number = 0;
  for (const std::string_view line : lines_of(file.text)) {
    ++number;
    if (code_points(line) > columns_max) {
      found.push_back({file.path, number, "is longer than 100 columns"});
    }
  }
  return found;
}

std::vector<finding> check_file_length(const source& file) {
  const std::size_t lines = lines_of(file.text).size();
  if (lines <= file_lines_max) {
    return {};
  }
  return {{file.path, lines, "the file is longer than 600 lines; split it by noun"}};
}

std::vector<finding> check_file_name(const source& file) {
  const bool plain = std::all_of(file.path.begin(), file.path.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view{"_-./+"}.find(static_cast<char>(c)) != std::string_view::npos;
  });
  if (plain) {
    return {};
  }
  return {{file.path, 1, "the name has other characters than letters, digits and _ - . +"}};
}

std::vector<function_extent> functions_of(std::string_view text) {
  const std::string code = without_directives(without_comments_and_strings(text));
  return function_finder{code}.run();
}

std::vector<finding> check_function_lengths(const source& file) {
  std::vector<finding> found;
  for (const function_extent& f : functions_of(file.text)) {
    if (f.lines > function_lines_max) {
      found.push_back({file.path, f.line,
                       "the function has " + std::to_string(f.lines) +
                           " lines, more than 70: " + f.head.substr(0, 60)});
    }
  }
  return found;
}

std::vector<finding> check_form(const source& file, bool has_own_header) {
  std::vector<finding> found;
  const std::vector<include> includes = includes_of(file.text);
  if (file.path.ends_with(".hpp")) {
    const std::string code = without_comments(file.text);
    const std::size_t first = code.find_first_not_of(" \n");
    if (first == std::string::npos || code.compare(first, 12, "#pragma once") != 0) {
      found.push_back({file.path, 1, "a header begins with #pragma once"});
    }
  } else if (has_own_header) {
    const std::string own = file.path.substr(0, file.path.size() - 4) + ".hpp";
    if (includes.empty() || includes.front().target != own) {
      found.push_back({file.path, 1, "includes its own header \"" + own + "\" first"});
    }
  }
  for (const include& i : includes) {
    const bool generated = i.target.ends_with(".capnp.h");
    if (i.quoted && !generated && i.target.find('/') == std::string::npos) {
      found.push_back({file.path, i.line, "includes are written from the root: folder/file.hpp"});
    }
  }
  return found;
}

} // namespace ovir::tidy
