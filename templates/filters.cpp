#include "templates/filters.hpp"

#include "compute/base/printable.hpp"
#include "messages/limits/templates.hpp"
#include "templates/lexer.hpp"
#include "templates/members.hpp"
#include "templates/operators.hpp"
#include "templates/text_methods.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace ovir::templates {

value filter_upper(rendering& r, const value& v, const bound&) {
  const marked_text text = r.text_of(v);
  return has_only_ascii_cases(text.bytes())
             ? r.made(text.each(ascii_upper))
             : r.wrong(errc::unsupported, "'upper' of letters beyond ASCII");
}

value filter_lower(rendering& r, const value& v, const bound&) {
  const marked_text text = r.text_of(v);
  return has_only_ascii_cases(text.bytes())
             ? r.made(text.each(ascii_lower))
             : r.wrong(errc::unsupported, "'lower' of letters beyond ASCII");
}

value filter_capitalize(rendering& r, const value& v, const bound&) {
  const marked_text text = r.text_of(v);
  bool first = true;
  return has_only_ascii_cases(text.bytes())
             ? r.made(text.each([&](char c) {
                 return std::exchange(first, false) ? ascii_upper(c) : ascii_lower(c);
               }))
             : r.wrong(errc::unsupported, "'capitalize' of letters beyond ASCII");
}

namespace {

value filter_text(rendering& r, const value& v, const bound&) {
  return v.as_text() != nullptr ? v : r.made(r.text_of(v));
}

value filter_trim(rendering& r, const value& v, const bound& with) {
  return call_text_method(r, r.text_of(v), "strip", with);
}

// Words begin behind blanks and these signs, unlike those of the method of that name.
value filter_title(rendering& r, const value& v, const bound&) {
  constexpr std::string_view between = "-({[<";
  const marked_text text = r.text_of(v);
  bool first = true;
  return has_only_ascii_cases(text.bytes()) ? r.made(text.each([&](char c) {
    const bool begins = first;
    first = between.find(c) != std::string_view::npos ||
            (static_cast<unsigned char>(c) < 0x80 && is_space(static_cast<unsigned char>(c)));
    return begins ? ascii_upper(c) : ascii_lower(c);
  }))
                                            : r.wrong(errc::unsupported,
                                                      "'title' of letters beyond ASCII");
}

value filter_length(rendering& r, const value& v, const bound&) {
  if (const marked_text* const text = v.as_text()) {
    return value{static_cast<std::int64_t>(length_of(text->bytes()))};
  }
  if (const auto* const list = v.as_list()) {
    return value{static_cast<std::int64_t>(list->items.size())};
  }
  if (const auto* const dict = v.as_dict()) {
    return value{static_cast<std::int64_t>(dict->items.size())};
  }
  return v.is_undefined() ? value{std::int64_t{0}}
                          : r.wrong(errc::malformed, fmt::format("a {} has no length", v.kind()));
}

value filter_replace(rendering& r, const value& v, const bound& with) {
  return replaced(r, r.text_of(v), r.text_of(with[0]), r.text_of(with[1]),
                  r.integer_or(with[2], -1));
}

value filter_indent(rendering& r, const value& v, const bound& with) {
  const marked_text text = r.text_of(v);
  marked_text blanks;
  if (const marked_text* const given = with[0].as_text()) {
    blanks = *given;
  } else {
    const std::int64_t width = r.integer_or(with[0], 4);
    if (width > 1'000) {
      return r.wrong(errc::over_limit, "'indent' by more than 1000 blanks");
    }
    blanks.append(std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' '),
                  author::model);
  }
  marked_text out;
  const std::string& bytes = text.bytes();
  for (std::size_t at = 0, line = 0; at <= bytes.size() && !r.failed(); ++line) {
    const std::size_t newline = bytes.find('\n', at);
    const std::size_t end = newline == std::string::npos ? bytes.size() : newline;
    // The first line only where that is asked for, empty ones too where they are to be indented.
    if (line == 0 ? with[1].truth() : end > at || with[2].truth()) {
      out.append(blanks);
      r.charge(0, blanks.size());
    }
    out.append(text.part(at, end - at + (newline == std::string::npos ? 0 : 1)));
    at = end + 1;
  }
  return r.failed() ? value{} : r.made(std::move(out));
}

value filter_tojson(rendering& r, const value& v, const bound& with) {
  json_style style;
  style.ascii = with[0].truth();
  style.sort_keys = with[3].truth();
  if (const marked_text* const text = with[1].as_text()) {
    style.indent = text->bytes();
  } else if (!with[1].is_undefined() && !with[1].is_none()) {
    style.indent.emplace(
        static_cast<std::size_t>(std::clamp<std::int64_t>(r.integer_or(with[1], 0), 0, 16)), ' ');
  }
  if (const list_value* const separators = with[2].as_list()) {
    if (separators->items.size() != 2 || separators->items[0].as_text() == nullptr ||
        separators->items[1].as_text() == nullptr) {
      return r.wrong(errc::malformed, "'tojson' takes two separators");
    }
    style.item_separator = separators->items[0].as_text()->bytes();
    style.key_separator = separators->items[1].as_text()->bytes();
  }
  const std::uint64_t each =
      2 + (style.indent ? style.indent->size() * v.depth() : 0) +
      (style.item_separator ? style.item_separator->size() + style.key_separator->size() : 0);
  if (!r.charge(v.weight() / 16, v.weight() * each / 4)) {
    return {};
  }
  auto text = json_of(v, style);
  return text
             ? r.made(std::move(*text))
             : r.wrong(errc::malformed, fmt::format("what 'tojson' gets, a {}, is undefined or has "
                                                    "such a part",
                                                    v.kind()));
}

value filter_escape(rendering& r, const value& v, const bound&) {
  const marked_text text = r.text_of(v);
  marked_text out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes()[i];
    const std::string_view by = c == '&'    ? "&amp;"
                                : c == '<'  ? "&lt;"
                                : c == '>'  ? "&gt;"
                                : c == '\'' ? "&#39;"
                                : c == '"'  ? "&#34;"
                                            : "";
    if (by.empty()) {
      out.append(text.part(i, 1));
    } else {
      out.append(by, author::model);
    }
  }
  return r.made(std::move(out));
}

value filter_int(rendering& r, const value& v, const bound& with) {
  const value otherwise = with[0].is_undefined() ? value{std::int64_t{0}} : with[0];
  if (!with[1].is_undefined()) {
    return r.wrong(errc::unsupported, "'int' of another base");
  }
  if (const auto i = v.as_integer()) {
    return value{*i};
  }
  auto d = v.as_number();
  if (const marked_text* const text = v.as_text()) {
    const std::size_t left = leading_space(text->bytes());
    std::string digits = text->bytes().substr(left);
    digits.resize(digits.size() - trailing_space(digits));
    const std::size_t plus = digits.starts_with('+') ? 1 : 0;
    std::int64_t i = 0;
    const auto* const end = digits.data() + digits.size();
    if (const auto read = std::from_chars(digits.data() + plus, end, i);
        read.ec == std::errc{} && read.ptr == end) {
      return value{i};
    }
    double number = 0;
    if (const auto read = std::from_chars(digits.data() + plus, end, number);
        read.ec == std::errc{} && read.ptr == end) {
      d = number;
    }
  }
  if (!d || std::isnan(*d) || std::fabs(*d) >= 0x1p63) {
    return otherwise;
  }
  return value{static_cast<std::int64_t>(*d)};
}

value filter_float(rendering&, const value& v, const bound& with) {
  if (const auto d = v.as_number()) {
    return value{*d};
  }
  if (const marked_text* const text = v.as_text()) {
    const std::size_t left = leading_space(text->bytes());
    std::string digits = text->bytes().substr(left);
    digits.resize(digits.size() - trailing_space(digits));
    double number = 0;
    const auto* const end = digits.data() + digits.size();
    const auto read = std::from_chars(digits.data(), end, number);
    if (read.ec == std::errc{} && read.ptr == end) {
      return value{number};
    }
  }
  return with[0].is_undefined() ? value{0.0} : with[0];
}

value filter_abs(rendering& r, const value& v, const bound&) {
  if (const auto i = v.as_integer()) {
    return *i < 0 ? integer_arithmetic(r, "-", 0, *i) : value{*i};
  }
  const auto d = v.as_number();
  return d ? value{std::fabs(*d)} : r.wrong(errc::malformed, "'abs' needs a number");
}

value filter_round(rendering& r, const value& v, const bound& with) {
  const auto d = v.as_number();
  const std::int64_t digits = r.integer_or(with[0], 0);
  const marked_text* const method = with[1].as_text();
  const std::string how = method == nullptr ? "common" : method->bytes();
  if (!d || digits != 0 || (how != "common" && how != "ceil" && how != "floor")) {
    return r.wrong(errc::unsupported, "'round' other than of a number to a whole one");
  }
  return value{how == "ceil"    ? std::ceil(*d)
               : how == "floor" ? std::floor(*d)
                                : std::nearbyint(*d)};
}

value filter_default(rendering&, const value& v, const bound& with) {
  const bool missing = v.is_undefined() || (with[1].truth() && !v.truth());
  return !missing ? v : with[0].is_undefined() ? value::text("") : with[0];
}

value filter_attribute(rendering& r, const value& v, const bound& with) {
  return with[0].as_text() == nullptr ? r.wrong(errc::malformed, "'attr' needs a name")
                                      : member(r, v, with[0].as_text()->bytes());
}

} // namespace

std::span<const filter_entry> text_filters() {
  static constexpr std::array<filter_entry, 21> entries{{
      {"string", {}, filter_text},
      {"safe", {}, filter_text},
      {"trim", {"chars"}, filter_trim},
      {"upper", {}, filter_upper},
      {"lower", {}, filter_lower},
      {"capitalize", {}, filter_capitalize},
      {"title", {}, filter_title},
      {"length", {}, filter_length},
      {"count", {}, filter_length},
      {"replace", {"old", "new", "count"}, filter_replace},
      {"indent", {"width", "first", "blank"}, filter_indent},
      {"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, filter_tojson},
      {"escape", {}, filter_escape},
      {"e", {}, filter_escape},
      {"int", {"default", "base"}, filter_int},
      {"float", {"default"}, filter_float},
      {"abs", {}, filter_abs},
      {"round", {"precision", "method"}, filter_round},
      {"default", {"default_value", "boolean"}, filter_default},
      {"d", {"default_value", "boolean"}, filter_default},
      {"attr", {"name"}, filter_attribute},
  }};
  return entries;
}

value apply_filter(rendering& r, std::string_view name, call_values with) {
  if (r.failed()) {
    return {};
  }
  if (name == "map" || name == "select" || name == "reject" || name == "selectattr" ||
      name == "rejectattr") {
    return name == "map" ? map(r, with) : choose(r, name, with);
  }
  for (const auto entries : {text_filters(), list_filters()}) {
    const auto found = std::find_if(entries.begin(), entries.end(),
                                    [&](const filter_entry& e) { return e.name == name; });
    if (found != entries.end()) {
      const value of = with.plain.front();
      with.plain.erase(with.plain.begin());
      const auto values = r.bind(name, with, found->parameters);
      return values && r.charge(1 + of.weight() / 64) ? found->run(r, of, *values) : value{};
    }
  }
  return r.wrong(errc::unsupported,
                 fmt::format("the filter '{}' is not known here", compute::printable(name)));
}

} // namespace ovir::templates
