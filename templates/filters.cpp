#include "compute/base/printable.hpp"
#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"
#include "templates/interpreter.hpp"
#include "templates/lexer.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace ovir::templates {

std::span<const interpreter::filter_entry> interpreter::text_filters() {
  using in = interpreter;
  static constexpr std::array<filter_entry, 24> entries{{
      {"string", {}, &in::filter_text},
      {"safe", {}, &in::filter_text},
      {"trim", {"chars"}, &in::filter_trim},
      {"upper", {}, &in::filter_upper},
      {"lower", {}, &in::filter_lower},
      {"capitalize", {}, &in::filter_capitalize},
      {"title", {}, &in::filter_title},
      {"length", {}, &in::filter_length},
      {"count", {}, &in::filter_length},
      {"replace", {"old", "new", "count"}, &in::filter_replace},
      {"indent", {"width", "first", "blank"}, &in::filter_indent},
      {"tojson", {"ensure_ascii", "indent", "separators", "sort_keys"}, &in::filter_tojson},
      {"escape", {}, &in::filter_escape},
      {"e", {}, &in::filter_escape},
      {"int", {"default", "base"}, &in::filter_int},
      {"float", {"default"}, &in::filter_float},
      {"abs", {}, &in::filter_abs},
      {"round", {"precision", "method"}, &in::filter_round},
      {"default", {"default_value", "boolean"}, &in::filter_default},
      {"d", {"default_value", "boolean"}, &in::filter_default},
      {"attr", {"name"}, &in::filter_attribute},
      {"min", {"case_sensitive", "attribute"}, &in::filter_min},
      {"max", {"case_sensitive", "attribute"}, &in::filter_max},
      {"sum", {"attribute", "start"}, &in::filter_sum},
  }};
  return entries;
}

value interpreter::apply_filter(std::string_view name, call_values with) {
  if (failed()) {
    return {};
  }
  if (name == "map" || name == "select" || name == "reject" || name == "selectattr" ||
      name == "rejectattr") {
    return name == "map" ? map(with) : choose(name, with);
  }
  for (const auto entries : {text_filters(), list_filters()}) {
    const auto found = std::find_if(entries.begin(), entries.end(),
                                    [&](const filter_entry& e) { return e.name == name; });
    if (found != entries.end()) {
      const value of = with.plain.front();
      with.plain.erase(with.plain.begin());
      const auto values = bind(name, with, found->parameters);
      return values && charge(1 + of.weight() / 64) ? (this->*found->run)(of, *values) : value{};
    }
  }
  return wrong(errc::unsupported,
               fmt::format("the filter '{}' is not known here", compute::printable(name)));
}

value interpreter::filter_text(const value& v, const bound&) {
  return v.as_text() != nullptr ? v : made(text_of(v));
}

value interpreter::filter_trim(const value& v, const bound& with) {
  return call_text_method(text_of(v), "strip", with);
}

value interpreter::filter_upper(const value& v, const bound&) {
  const marked_text text = text_of(v);
  return has_only_ascii_cases(text.bytes())
             ? made(text.each(ascii_upper))
             : wrong(errc::unsupported, "'upper' of letters beyond ASCII");
}

value interpreter::filter_lower(const value& v, const bound&) {
  const marked_text text = text_of(v);
  return has_only_ascii_cases(text.bytes())
             ? made(text.each(ascii_lower))
             : wrong(errc::unsupported, "'lower' of letters beyond ASCII");
}

value interpreter::filter_capitalize(const value& v, const bound&) {
  const marked_text text = text_of(v);
  bool first = true;
  return has_only_ascii_cases(text.bytes())
             ? made(text.each([&](char c) {
                 return std::exchange(first, false) ? ascii_upper(c) : ascii_lower(c);
               }))
             : wrong(errc::unsupported, "'capitalize' of letters beyond ASCII");
}

// Words begin behind blanks and these signs, unlike those of the method of that name.
value interpreter::filter_title(const value& v, const bound&) {
  constexpr std::string_view between = "-({[<";
  const marked_text text = text_of(v);
  bool first = true;
  return has_only_ascii_cases(text.bytes()) ? made(text.each([&](char c) {
    const bool begins = first;
    first = between.find(c) != std::string_view::npos ||
            (static_cast<unsigned char>(c) < 0x80 && is_space(static_cast<unsigned char>(c)));
    return begins ? ascii_upper(c) : ascii_lower(c);
  }))
                                            : wrong(errc::unsupported,
                                                    "'title' of letters beyond ASCII");
}

value interpreter::filter_length(const value& v, const bound&) {
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
                          : wrong(errc::malformed, fmt::format("a {} has no length", v.kind()));
}

value interpreter::filter_replace(const value& v, const bound& with) {
  return replaced(text_of(v), text_of(with[0]), text_of(with[1]), integer_or(with[2], -1));
}

value interpreter::filter_indent(const value& v, const bound& with) {
  const marked_text text = text_of(v);
  marked_text blanks;
  if (const marked_text* const given = with[0].as_text()) {
    blanks = *given;
  } else {
    const std::int64_t width = integer_or(with[0], 4);
    if (width > 1'000) {
      return wrong(errc::over_limit, "'indent' by more than 1000 blanks");
    }
    blanks.append(std::string(static_cast<std::size_t>(std::max<std::int64_t>(width, 0)), ' '),
                  author::model);
  }
  marked_text out;
  const std::string& bytes = text.bytes();
  for (std::size_t at = 0, line = 0; at <= bytes.size() && !failed(); ++line) {
    const std::size_t newline = bytes.find('\n', at);
    const std::size_t end = newline == std::string::npos ? bytes.size() : newline;
    // The first line only where that is asked for, empty ones too where they are to be indented.
    if (line == 0 ? with[1].truth() : end > at || with[2].truth()) {
      out.append(blanks);
      charge(0, blanks.size());
    }
    out.append(text.part(at, end - at + (newline == std::string::npos ? 0 : 1)));
    at = end + 1;
  }
  return failed() ? value{} : made(std::move(out));
}

value interpreter::filter_tojson(const value& v, const bound& with) {
  json_style style;
  style.ascii = with[0].truth();
  style.sort_keys = with[3].truth();
  if (const marked_text* const text = with[1].as_text()) {
    style.indent = text->bytes();
  } else if (!with[1].is_undefined() && !with[1].is_none()) {
    style.indent.emplace(
        static_cast<std::size_t>(std::clamp<std::int64_t>(integer_or(with[1], 0), 0, 16)), ' ');
  }
  if (const list_value* const separators = with[2].as_list()) {
    if (separators->items.size() != 2 || separators->items[0].as_text() == nullptr ||
        separators->items[1].as_text() == nullptr) {
      return wrong(errc::malformed, "'tojson' takes two separators");
    }
    style.item_separator = separators->items[0].as_text()->bytes();
    style.key_separator = separators->items[1].as_text()->bytes();
  }
  const std::uint64_t each =
      2 + (style.indent ? style.indent->size() * v.depth() : 0) +
      (style.item_separator ? style.item_separator->size() + style.key_separator->size() : 0);
  if (!charge(v.weight() / 16, v.weight() * each / 4)) {
    return {};
  }
  auto text = json_of(v, style);
  return text ? made(std::move(*text))
              : wrong(errc::malformed, fmt::format("what 'tojson' gets, a {}, is undefined or has "
                                                   "such a part",
                                                   v.kind()));
}

value interpreter::filter_escape(const value& v, const bound&) {
  const marked_text text = text_of(v);
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
  return made(std::move(out));
}

value interpreter::filter_int(const value& v, const bound& with) {
  const value otherwise = with[0].is_undefined() ? value{std::int64_t{0}} : with[0];
  if (!with[1].is_undefined()) {
    return wrong(errc::unsupported, "'int' of another base");
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

value interpreter::filter_float(const value& v, const bound& with) {
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

value interpreter::filter_abs(const value& v, const bound&) {
  if (const auto i = v.as_integer()) {
    return *i < 0 ? integer_arithmetic("-", 0, *i) : value{*i};
  }
  const auto d = v.as_number();
  return d ? value{std::fabs(*d)} : wrong(errc::malformed, "'abs' needs a number");
}

value interpreter::filter_round(const value& v, const bound& with) {
  const auto d = v.as_number();
  const std::int64_t digits = integer_or(with[0], 0);
  const marked_text* const method = with[1].as_text();
  const std::string how = method == nullptr ? "common" : method->bytes();
  if (!d || digits != 0 || (how != "common" && how != "ceil" && how != "floor")) {
    return wrong(errc::unsupported, "'round' other than of a number to a whole one");
  }
  return value{how == "ceil"    ? std::ceil(*d)
               : how == "floor" ? std::floor(*d)
                                : std::nearbyint(*d)};
}

value interpreter::filter_default(const value& v, const bound& with) {
  const bool missing = v.is_undefined() || (with[1].truth() && !v.truth());
  return !missing ? v : with[0].is_undefined() ? value::text("") : with[0];
}

value interpreter::filter_attribute(const value& v, const bound& with) {
  return with[0].as_text() == nullptr ? wrong(errc::malformed, "'attr' needs a name")
                                      : member(v, with[0].as_text()->bytes());
}

} // namespace ovir::templates
