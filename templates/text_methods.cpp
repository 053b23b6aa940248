#include "templates/text_methods.hpp"

#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"
#include "templates/filters.hpp"
#include "templates/lexer.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace ovir::templates {

namespace {

/// Ranges beyond ASCII with letters that have cases, or that Python's methods change otherwise.
constexpr std::array<std::pair<char32_t, char32_t>, 24> cased{{
    {0xAA, 0x2AF},      {0x345, 0x345},     {0x370, 0x587},     {0x10A0, 0x10FF},
    {0x13A0, 0x13FF},   {0x1C80, 0x1CBF},   {0x1D00, 0x1DBF},   {0x1E00, 0x1FFF},
    {0x2071, 0x2071},   {0x207F, 0x209C},   {0x2102, 0x2188},   {0x24B6, 0x24E9},
    {0x2C00, 0x2D2F},   {0xA640, 0xA69F},   {0xA720, 0xA7FF},   {0xAB30, 0xABBF},
    {0xFB00, 0xFB17},   {0xFF21, 0xFF5A},   {0x10400, 0x104FF}, {0x10570, 0x107BF},
    {0x10C80, 0x10CFF}, {0x118A0, 0x118DF}, {0x16E40, 0x16E7F}, {0x1D400, 0x1F189},
}};

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// How many bytes of characters out of `set` a text begins with; of white space without a set.
std::size_t stripped_left(std::string_view text, const std::string* set) {
  if (set == nullptr) {
    return leading_space(text);
  }
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t bytes = compute::read_utf8(text.substr(at)).bytes;
    if (set->find(text.substr(at, bytes)) == std::string::npos) {
      break;
    }
    at += bytes;
  }
  return at;
}

std::size_t stripped_right(std::string_view text, const std::string* set) {
  if (set == nullptr) {
    return trailing_space(text);
  }
  std::size_t end = text.size();
  while (end > 0) {
    std::size_t begin = end - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0U) == 0x80) {
      --begin;
    }
    if (set->find(text.substr(begin, end - begin)) == std::string::npos) {
      break;
    }
    end = begin;
  }
  return text.size() - end;
}

/// Where lines end, as `splitlines` sees it: [first byte, byte behind the end of the line).
std::vector<std::pair<std::size_t, std::size_t>> lines_in(std::string_view text) {
  std::vector<std::pair<std::size_t, std::size_t>> lines;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto step = compute::read_utf8(text.substr(at));
    const char32_t c = step.value;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 ||
                      c == 0x2028 || c == 0x2029;
    const std::size_t line_end = at;
    at += step.bytes;
    if (ends) {
      at += c == U'\r' && at < text.size() && text[at] == '\n' ? 1 : 0;
      lines.emplace_back(begin, line_end);
      begin = at;
    }
  }
  if (begin < text.size()) {
    lines.emplace_back(begin, text.size());
  }
  return lines;
}

value split(rendering& r, const marked_text& text, const value& by, std::int64_t most,
            bool from_right) {
  std::vector<std::pair<std::size_t, std::size_t>> found; // of separators
  const std::string_view bytes = text.bytes();
  const bool blanks = by.is_undefined() || by.is_none();
  const marked_text* const sign = by.as_text();
  if (!blanks && (sign == nullptr || sign->empty())) {
    return r.wrong(errc::malformed, "'split' needs a separator of at least one character");
  }
  std::size_t begins = 0;
  std::size_t ends = bytes.size();
  if (blanks) {
    begins = leading_space(bytes);
    ends -= begins == ends ? 0 : trailing_space(bytes);
    if (begins == bytes.size()) {
      return r.made_list({});
    }
    for (std::size_t at = begins; at < ends;) {
      const std::size_t space = leading_space(bytes.substr(at, ends - at));
      if (space > 0) {
        found.emplace_back(at, at + space);
      }
      at += space > 0 ? space : compute::read_utf8(bytes.substr(at)).bytes;
    }
    // What is left when no more cuts are allowed keeps the blanks on its side.
    if (most >= 0 && found.size() >= static_cast<std::size_t>(most)) {
      (from_right ? begins : ends) = from_right ? 0 : bytes.size();
    }
  } else if (from_right) {
    for (std::size_t end = bytes.size(); end >= sign->size();) {
      const std::size_t at = bytes.rfind(sign->bytes(), end - sign->size());
      if (at == std::string_view::npos) {
        break;
      }
      found.emplace_back(at, at + sign->size());
      end = at;
    }
    std::reverse(found.begin(), found.end());
  } else {
    for (std::size_t at = bytes.find(sign->bytes()); at != std::string_view::npos;
         at = bytes.find(sign->bytes(), at + sign->size())) {
      found.emplace_back(at, at + sign->size());
    }
  }
  if (most >= 0 && found.size() > static_cast<std::size_t>(most)) {
    const auto keep = static_cast<std::ptrdiff_t>(most);
    from_right ? found.erase(found.begin(), found.end() - keep)
               : found.erase(found.begin() + keep, found.end());
  }
  if (!r.charge(found.size() / 8, text.size() + found.size() * sizeof(value))) {
    return {};
  }
  std::vector<value> parts;
  std::size_t at = begins;
  for (const auto& [begin, end] : found) {
    parts.emplace_back(text.part(at, begin - at));
    at = end;
  }
  parts.emplace_back(text.part(at, ends - at));
  return r.made_list(std::move(parts));
}

} // namespace

bool has_only_ascii_cases(std::string_view text) {
  while (!text.empty()) {
    const auto step = compute::read_utf8(text);
    if (step.value >= 0x80 && std::any_of(cased.begin(), cased.end(), [&](const auto& range) {
          return step.value >= range.first && step.value <= range.second;
        })) {
      return false;
    }
    text.remove_prefix(step.bytes);
  }
  return true;
}

char ascii_upper(char c) noexcept {
  return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}
char ascii_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

std::size_t length_of(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0U) != 0x80;
  }));
}

value replaced(rendering& r, const marked_text& text, const marked_text& what,
               const marked_text& by, std::int64_t most) {
  marked_text out;
  std::size_t at = 0;
  const std::string& bytes = text.bytes();
  const auto put = [&](std::size_t to) {
    out.append(text.part(at, to - at));
    out.append(by);
    at = to;
    return r.charge(0, by.size()) && out.size() <= limits::template_output_max;
  };
  if (what.empty()) { // between all characters, and at both ends
    for (std::size_t next = 0; most != 0; --most) {
      if (!put(next) || next == bytes.size()) {
        break;
      }
      next += compute::read_utf8(std::string_view{bytes}.substr(next)).bytes;
    }
  } else {
    for (std::size_t next = bytes.find(what.bytes()); next != std::string::npos && most != 0;
         next = bytes.find(what.bytes(), at), --most) {
      if (!put(next)) {
        break;
      }
      at += what.size();
    }
  }
  out.append(text.part(at));
  return r.failed() ? value{} : r.made(std::move(out));
}

namespace {

value call_text_search(rendering& r, const marked_text& self, std::string_view name,
                       const bound& with) {
  const marked_text* const first = with[0].as_text();
  if (name == "startswith" || name == "endswith") {
    const auto fits = [&](const marked_text& end) {
      return name == "startswith" ? self.bytes().starts_with(end.bytes())
                                  : self.bytes().ends_with(end.bytes());
    };
    if (const auto* const several = with[0].as_list(); several != nullptr && several->tuple) {
      return value{std::any_of(several->items.begin(), several->items.end(), [&](const value& v) {
        return v.as_text() != nullptr && fits(*v.as_text());
      })};
    }
    return first == nullptr ? r.wrong(errc::malformed, fmt::format("'{}' needs a text", name))
                            : value{fits(*first)};
  }
  if (name == "replace") {
    const marked_text* const by = with[1].as_text();
    return first == nullptr || by == nullptr
               ? r.wrong(errc::malformed, "'replace' needs two texts")
               : replaced(r, self, *first, *by, r.integer_or(with[2], -1));
  }
  if (first == nullptr || first->empty() || name == "format") {
    return r.wrong(errc::unsupported, fmt::format("'{}' with these arguments", name));
  }
  std::int64_t count = 0;
  std::size_t at = self.bytes().find(first->bytes());
  if (name == "find") {
    return value{at == std::string::npos ? std::int64_t{-1}
                                         : static_cast<std::int64_t>(length_of(
                                               std::string_view{self.bytes()}.substr(0, at)))};
  }
  for (; at != std::string::npos; at = self.bytes().find(first->bytes(), at + first->size())) {
    ++count;
  }
  return value{count};
}

} // namespace

value call_text_method(rendering& r, const marked_text& self, std::string_view name,
                       const bound& with) {
  const marked_text* const first = with[0].as_text();
  if (name == "strip" || name == "lstrip" || name == "rstrip") {
    if (!with[0].is_undefined() && !with[0].is_none() && first == nullptr) {
      return r.wrong(errc::malformed, fmt::format("'{}' needs a text of characters", name));
    }
    const std::string* const set = first == nullptr ? nullptr : &first->bytes();
    if (set != nullptr && !r.charge(self.size() * set->size() / 64)) {
      return {};
    }
    const std::size_t left = name == "rstrip" ? 0 : stripped_left(self.bytes(), set);
    const std::size_t right =
        name == "lstrip" ? 0 : stripped_right(std::string_view{self.bytes()}.substr(left), set);
    return r.made(self.part(left, self.size() - left - right));
  }
  if (name == "split" || name == "rsplit") {
    return split(r, self, with[0], r.integer_or(with[1], -1), name == "rsplit");
  }
  if (name == "splitlines") {
    std::vector<value> lines;
    for (const auto& [begin, end] : lines_in(self.bytes())) {
      lines.emplace_back(self.part(begin, end - begin));
    }
    return r.charge(0, self.size()) ? r.made_list(std::move(lines)) : value{};
  }
  if (name == "upper") {
    return filter_upper(r, self, with);
  }
  if (name == "lower") {
    return filter_lower(r, self, with);
  }
  if (name == "capitalize") {
    return filter_capitalize(r, self, with);
  }
  if (name == "title") {
    if (!has_only_ascii_cases(self.bytes())) {
      return r.wrong(errc::unsupported, "'title' of letters beyond ASCII");
    }
    char before = ' ';
    return r.made(self.each([&](char c) {
      const char out = is_letter(before) ? ascii_lower(c) : ascii_upper(c);
      before = c;
      return out;
    }));
  }
  if (name == "isdigit") {
    return value{!self.empty() && std::all_of(self.bytes().begin(), self.bytes().end(),
                                              [](char c) { return c >= '0' && c <= '9'; })};
  }
  if (name == "join") {
    bound swapped{};
    swapped[0] = value{self};
    return filter_join(r, with[0], swapped);
  }
  return call_text_search(r, self, name, with);
}

} // namespace ovir::templates
