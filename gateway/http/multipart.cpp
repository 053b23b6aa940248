#include "gateway/http/multipart.hpp"

#include "messages/limits/batches.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::gateway {

namespace {

constexpr std::string_view form_type = "multipart/form-data";
constexpr std::string_view end_of_line = "\r\n";

std::string in_lower_case(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

std::string_view without_blanks(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t");
  if (first == text.npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t") + 1 - first);
}

error broken_form(std::string_view what) {
  return fail(errc::malformed, "the form {}; send it as multipart/form-data writes it", what);
}

/// A header's value and its parameters: `form-data; name="file"; filename="a.jsonl"`.
struct header_value {
  std::string word; ///< in lower case
  std::vector<std::pair<std::string, std::string>> parameters{};

  [[nodiscard]] const std::string* find(std::string_view name) const {
    const auto found = std::find_if(parameters.begin(), parameters.end(),
                                    [&](const auto& one) { return one.first == name; });
    return found == parameters.end() ? nullptr : &found->second;
  }
};

/// Takes a quoted text away from the front of `rest`; browsers write a quote as %22, others \".
result<std::string> take_quoted(std::string_view& rest) {
  std::string text;
  for (std::size_t i = 1; i < rest.size(); ++i) {
    const bool escaped =
        rest[i] == '\\' && i + 1 < rest.size() && (rest[i + 1] == '"' || rest[i + 1] == '\\');
    if (rest[i] == '"') {
      rest.remove_prefix(i + 1);
      return text;
    }
    i += escaped ? 1 : 0;
    text += rest[i];
  }
  return broken_form("has a quoted text without an end");
}

result<header_value> header_value_from(std::string_view text) {
  header_value value;
  const std::size_t end = text.find(';');
  value.word = in_lower_case(without_blanks(text.substr(0, end)));
  std::string_view rest = end == text.npos ? std::string_view{} : text.substr(end);
  while (!without_blanks(rest).empty()) {
    rest = without_blanks(rest);
    if (rest.front() != ';') {
      return broken_form("has a parameter that does not stand behind a semicolon");
    }
    rest = without_blanks(rest.substr(1));
    if (rest.empty()) {
      break; // a semicolon at the end
    }
    const std::size_t equals = rest.find('=');
    if (equals == rest.npos || equals == 0) {
      return broken_form("has a parameter without a value");
    }
    std::string name = in_lower_case(without_blanks(rest.substr(0, equals)));
    if (value.find(name) != nullptr) {
      return broken_form("has a parameter twice");
    }
    rest = without_blanks(rest.substr(equals + 1));
    std::string content;
    if (rest.starts_with('"')) {
      OVIR_ASSIGN(content, take_quoted(rest));
    } else {
      const std::string_view token = rest.substr(0, rest.find(';'));
      content = without_blanks(token);
      rest.remove_prefix(token.size());
    }
    value.parameters.emplace_back(std::move(name), std::move(content));
  }
  return value;
}

/// Takes the head of a part away, up to the empty line behind it.
result<form_part> take_head(std::string_view& rest) {
  form_part part;
  bool named = false;
  for (std::size_t taken = 0;;) {
    const std::size_t end = rest.find(end_of_line);
    if (end == rest.npos || taken + end > limits::form_head_bytes_max) {
      return end == rest.npos
                 ? broken_form("ends in the head of a part")
                 : fail(errc::over_limit, "the head of a part of the form is longer than {} bytes",
                        limits::form_head_bytes_max);
    }
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + end_of_line.size());
    taken += end + end_of_line.size();
    if (line.empty()) {
      break;
    }
    const std::size_t colon = line.find(':');
    if (colon == line.npos || colon == 0 || line.find('\0') != line.npos) {
      return broken_form("has a line in the head of a part that is no header");
    }
    const std::string name = in_lower_case(line.substr(0, colon));
    const std::string_view text = without_blanks(line.substr(colon + 1));
    if (name == "content-transfer-encoding") {
      constexpr std::array<std::string_view, 3> plain{"binary", "8bit", "7bit"};
      if (std::find(plain.begin(), plain.end(), in_lower_case(text)) == plain.end()) {
        return fail(errc::unsupported, "a part of the form is encoded for mail; send its bytes as "
                                       "they are");
      }
    } else if (name == "content-disposition") {
      OVIR_ASSIGN(const header_value value, header_value_from(text));
      const std::string* const field = value.find("name");
      if (named || value.word != "form-data" || field == nullptr || field->empty()) {
        return broken_form("has a part without a name, or with two");
      }
      named = true;
      part.name = *field;
      if (const std::string* const file = value.find("filename")) {
        part.file_name = *file;
      }
    }
  }
  if (!named) {
    return broken_form("has a part without a name");
  }
  return part;
}

result<std::string> boundary_of(std::string_view content_type) {
  OVIR_ASSIGN(const header_value type, header_value_from(content_type));
  const std::string* const boundary = type.find("boundary");
  if (boundary == nullptr || boundary->empty() || boundary->back() == ' ' ||
      boundary->size() > limits::form_boundary_bytes_max ||
      boundary->find_first_of("\r\n") != std::string::npos) {
    return broken_form("has no boundary of 1 to 70 characters in its Content-Type");
  }
  return *boundary;
}

} // namespace

bool is_form(std::string_view content_type) {
  return in_lower_case(without_blanks(content_type.substr(0, content_type.find(';')))) == form_type;
}

result<std::vector<form_part>> parse_form(std::string_view content_type, std::string_view body) {
  if (!is_form(content_type)) {
    return fail(errc::unsupported, "the body must be of the type multipart/form-data");
  }
  OVIR_ASSIGN(const std::string boundary, boundary_of(content_type));
  const std::string first = "--" + boundary;
  const std::string between = "\r\n--" + boundary;
  if (!body.starts_with(first)) {
    return broken_form("does not begin with its boundary");
  }
  std::vector<form_part> parts;
  std::string_view rest = body.substr(first.size());
  while (rest.starts_with(end_of_line)) {
    rest.remove_prefix(end_of_line.size());
    if (parts.size() == limits::form_parts_max) {
      return fail(errc::over_limit, "the form has more than {} parts", limits::form_parts_max);
    }
    OVIR_ASSIGN(form_part part, take_head(rest));
    const std::size_t end = rest.find(between);
    if (end == rest.npos) {
      return broken_form("ends within a part");
    }
    part.bytes = rest.substr(0, end);
    rest.remove_prefix(end + between.size());
    parts.push_back(std::move(part));
  }
  if (rest != "--" && rest != "--\r\n") {
    return broken_form("has something behind its last part");
  }
  return parts;
}

} // namespace ovir::gateway
