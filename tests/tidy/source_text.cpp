#include "tests/tidy/source_text.hpp"

#include <regex>

namespace ovir::tidy {

std::string to_string(const finding& f) {
  return f.path + ":" + std::to_string(f.line) + ": " + f.what;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) {
      break;
    }
    text.remove_prefix(end + 1);
  }
  return lines;
}

namespace {

/// Where the literal that starts at `at` ends: the place of its closing quote, or the text's end.
std::size_t end_of_literal(std::string_view text, std::size_t at) {
  const char quote = text[at];
  if (quote == '"' && at > 0 && text[at - 1] == 'R') {
    const std::size_t open = text.find('(', at);
    if (open == std::string_view::npos) {
      return text.size();
    }
    const std::string close = ")" + std::string{text.substr(at + 1, open - at - 1)} + "\"";
    const std::size_t end = text.find(close, open);
    return end == std::string_view::npos ? text.size() : end + close.size() - 1;
  }
  for (std::size_t i = at + 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == quote || text[i] == '\n') {
      return i;
    }
  }
  return text.size();
}

/// A ' between digits, as in 1'000, is no literal.
bool is_digit_separator(std::string_view text, std::size_t at) {
  return text[at] == '\'' && at > 0 && std::isxdigit(static_cast<unsigned char>(text[at - 1])) != 0;
}

void blank(std::string& text, std::size_t first, std::size_t last) {
  for (std::size_t i = first; i < last && i < text.size(); ++i) {
    if (text[i] != '\n') {
      text[i] = ' ';
    }
  }
}

std::string strip(std::string_view text, bool blank_literals) {
  std::string out{text};
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    if (rest.starts_with("//")) {
      const std::size_t end = std::min(text.find('\n', i), text.size());
      blank(out, i, end);
      i = end;
    } else if (rest.starts_with("/*")) {
      const std::size_t found = text.find("*/", i + 2);
      const std::size_t end = found == std::string_view::npos ? text.size() : found + 2;
      blank(out, i, end);
      i = end - 1;
    } else if ((text[i] == '"' || text[i] == '\'') && !is_digit_separator(text, i)) {
      const std::size_t end = end_of_literal(text, i);
      if (blank_literals) {
        blank(out, i + 1, end);
      }
      i = end;
    }
  }
  return out;
}

} // namespace

std::string without_comments_and_strings(std::string_view text) { return strip(text, true); }

std::string without_comments(std::string_view text) { return strip(text, false); }

std::string without_directives(std::string_view text) {
  std::string out;
  bool continued = false;
  for (const std::string_view line : lines_of(text)) {
    const std::size_t first = line.find_first_not_of(" \t");
    const bool directive = continued || (first != std::string_view::npos && line[first] == '#');
    continued = directive && line.ends_with('\\');
    if (!directive) {
      out += line;
    }
    out += '\n';
  }
  return out;
}

std::vector<include> includes_of(std::string_view text) {
  static const std::regex pattern{R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])"};
  const std::string code = without_comments(text);
  std::vector<include> found;
  std::size_t number = 0;
  for (const std::string_view line : lines_of(code)) {
    ++number;
    std::match_results<std::string_view::const_iterator> match;
    if (std::regex_search(line.begin(), line.end(), match, pattern)) {
      found.push_back({match[2].str(), match[1].str() == "\"", number});
    }
  }
  return found;
}

bool is_cpp(std::string_view path) { return path.ends_with(".cpp") || path.ends_with(".hpp"); }

std::string_view folder_of(std::string_view path) {
  const std::size_t slash = path.find('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

bool matches(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) {
    return text.empty();
  }
  if (pattern.front() == '*') {
    for (std::size_t skip = 0; skip <= text.size(); ++skip) {
      if (matches(pattern.substr(1), text.substr(skip))) {
        return true;
      }
    }
    return false;
  }
  return !text.empty() && pattern.front() == text.front() &&
         matches(pattern.substr(1), text.substr(1));
}

} // namespace ovir::tidy
