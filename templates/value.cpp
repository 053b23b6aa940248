#include "templates/value.hpp"

#include "compute/base/utf8.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

namespace ovir::templates {

const value* dict_value::find(const value& key) const {
  const auto at =
      std::find_if(items.begin(), items.end(), [&](const auto& item) { return item.first == key; });
  return at == items.end() ? nullptr : &at->second;
}

const value* dict_value::find(std::string_view key) const {
  const auto at = std::find_if(items.begin(), items.end(), [&](const auto& item) {
    const marked_text* const text = item.first.as_text();
    return text != nullptr && text->bytes() == key;
  });
  return at == items.end() ? nullptr : &at->second;
}

void dict_value::set(const value& key, value to) {
  const auto at =
      std::find_if(items.begin(), items.end(), [&](const auto& item) { return item.first == key; });
  if (at == items.end()) {
    items.emplace_back(key, std::move(to));
  } else {
    at->second = std::move(to);
  }
}

value value::list(std::vector<value> items, bool tuple) {
  std::size_t depth = 0;
  std::uint64_t weight = 16;
  for (const value& v : items) {
    depth = std::max(depth, v.depth());
    weight += v.weight();
  }
  value out{state{std::make_shared<const list_value>(list_value{std::move(items), tuple})}};
  out.depth_ = depth + 1;
  out.weight_ = weight;
  return out;
}

value value::dict(dict_value members) {
  std::size_t depth = 0;
  std::uint64_t weight = 16;
  for (const auto& [key, v] : members.items) {
    depth = std::max({depth, key.depth(), v.depth()});
    weight += key.weight() + v.weight();
  }
  value out{state{std::make_shared<const dict_value>(std::move(members))}};
  out.depth_ = depth + 1;
  out.weight_ = weight;
  return out;
}

const marked_text* value::as_text() const noexcept {
  const auto* const p = get<std::shared_ptr<const marked_text>>();
  return p == nullptr ? nullptr : p->get();
}

const list_value* value::as_list() const noexcept {
  const auto* const p = get<std::shared_ptr<const list_value>>();
  return p == nullptr ? nullptr : p->get();
}

const dict_value* value::as_dict() const noexcept {
  const auto* const p = get<std::shared_ptr<const dict_value>>();
  return p == nullptr ? nullptr : p->get();
}

std::optional<std::int64_t> value::as_integer() const noexcept {
  if (const auto* const b = get<bool>()) {
    return *b ? 1 : 0;
  }
  const auto* const i = get<std::int64_t>();
  return i == nullptr ? std::nullopt : std::optional{*i};
}

std::optional<double> value::as_number() const noexcept {
  if (const auto* const d = get<double>()) {
    return *d;
  }
  const auto i = as_integer();
  return i ? std::optional{static_cast<double>(*i)} : std::nullopt;
}

bool value::truth() const noexcept {
  if (is_undefined() || is_none()) {
    return false;
  }
  if (const auto number = as_number()) {
    return *number != 0;
  }
  if (const auto* const text = as_text()) {
    return !text->empty();
  }
  if (const auto* const items = as_list()) {
    return !items->items.empty();
  }
  if (const auto* const members = as_dict()) {
    return !members->items.empty();
  }
  return true;
}

std::string_view value::kind() const noexcept {
  constexpr std::string_view names[] = {"undefined", "None",  "bool", "int",
                                        "float",     "str",   "list", "dict",
                                        "namespace", "macro", "loop", "function"};
  return names[state_.index()];
}

bool operator==(const value& a, const value& b) {
  const auto x = a.as_number();
  const auto y = b.as_number();
  if (x && y) {
    const auto i = a.as_integer();
    const auto j = b.as_integer();
    return i && j ? *i == *j : *x == *y;
  }
  if (a.state_.index() != b.state_.index()) {
    return false;
  }
  if (const auto* const text = a.as_text()) {
    return text->bytes() == b.as_text()->bytes();
  }
  if (const auto* const items = a.as_list()) {
    return items->tuple == b.as_list()->tuple && items->items == b.as_list()->items;
  }
  if (const auto* const members = a.as_dict()) {
    const auto& other = b.as_dict()->items;
    return members->items.size() == other.size() &&
           std::all_of(members->items.begin(), members->items.end(), [&](const auto& item) {
             const value* const found = b.as_dict()->find(item.first);
             return found != nullptr && *found == item.second;
           });
  }
  if (a.is_undefined() || a.is_none()) {
    return true;
  }
  if (const auto* const space = a.get<std::shared_ptr<namespace_value>>()) {
    return *space == *b.get<std::shared_ptr<namespace_value>>();
  }
  return false; // functions: nothing a template could want to know
}

std::optional<int> compare(const value& a, const value& b) {
  const auto sign = [](auto x, auto y) { return x < y ? -1 : (y < x ? 1 : 0); };
  const auto i = a.as_integer();
  const auto j = b.as_integer();
  if (i && j) {
    return sign(*i, *j);
  }
  const auto x = a.as_number();
  const auto y = b.as_number();
  if (x && y) {
    // No order with what is not a number; templates cannot tell.
    return std::isnan(*x) || std::isnan(*y) ? std::nullopt : std::optional{sign(*x, *y)};
  }
  if (a.as_text() != nullptr && b.as_text() != nullptr) {
    // Bytes of UTF-8 have the order of code points.
    return sign(a.as_text()->bytes(), b.as_text()->bytes());
  }
  if (a.as_list() != nullptr && b.as_list() != nullptr &&
      a.as_list()->tuple == b.as_list()->tuple) {
    const auto& l = a.as_list()->items;
    const auto& r = b.as_list()->items;
    for (std::size_t k = 0; k < std::min(l.size(), r.size()); ++k) {
      if (!(l[k] == r[k])) {
        return compare(l[k], r[k]);
      }
    }
    return sign(l.size(), r.size());
  }
  return std::nullopt;
}

std::string float_text(double d) {
  if (std::isnan(d)) {
    return "nan";
  }
  if (std::isinf(d)) {
    return d < 0 ? "-inf" : "inf";
  }
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, d, std::chars_format::scientific);
  std::string text{buffer, end.ptr};
  const std::size_t e = text.find('e');
  const int exponent = std::atoi(text.c_str() + e + 1);
  std::string sign = text.front() == '-' ? "-" : "";
  std::string digits = text.substr(sign.size(), e - sign.size());
  std::erase(digits, '.');
  if (exponent < -4 || exponent >= 16) {
    const std::string fraction = digits.size() > 1 ? "." + digits.substr(1) : "";
    return fmt::format("{}{}{}e{}{:02}", sign, digits[0], fraction, exponent < 0 ? "-" : "+",
                       std::abs(exponent));
  }
  if (exponent < 0) {
    return sign + "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  }
  const auto whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) {
    return sign + digits + std::string(whole - digits.size(), '0') + ".0";
  }
  return sign + digits.substr(0, whole) + "." + digits.substr(whole);
}

namespace {

/// What Python's repr leaves as it is, beyond ASCII: nearly all; what cannot be seen it escapes.
bool is_shown(char32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA1) || c == 0xAD;
  const bool invisible = (c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) ||
                         (c >= 0x205F && c <= 0x206F) || c == 0x3000 || c == 0x1680 ||
                         c == 0xFEFF || (c >= 0xE000 && c <= 0xF8FF) || c >= 0xE0000;
  return !control && !invisible;
}

void append_repr(marked_text& out, const marked_text& text) {
  const bool has_single = text.bytes().find('\'') != std::string::npos;
  const char quote = has_single && text.bytes().find('"') == std::string::npos ? '"' : '\'';
  out.append(std::string_view{&quote, 1}, author::model);
  for (std::size_t at = 0; at < text.size();) {
    const auto step = compute::read_utf8(std::string_view{text.bytes()}.substr(at));
    const char32_t c = step.value;
    if (c == U'\\' || c == static_cast<char32_t>(quote)) {
      out.append("\\", author::model);
      out.append(text.part(at, 1));
    } else if (c == U'\n' || c == U'\r' || c == U'\t') {
      out.append(c == U'\n' ? "\\n" : c == U'\r' ? "\\r" : "\\t", author::model);
    } else if (is_shown(c)) {
      out.append(text.part(at, step.bytes));
    } else {
      const auto code = static_cast<std::uint32_t>(c);
      out.append(code < 0x100     ? fmt::format("\\x{:02x}", code)
                 : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                                  : fmt::format("\\U{:08x}", code),
                 author::model);
    }
    at += step.bytes;
  }
  out.append(std::string_view{&quote, 1}, author::model);
}

bool append_plain(marked_text& out, const value& v, bool as_repr) {
  if (const auto* const text = v.as_text()) {
    if (as_repr) {
      append_repr(out, *text);
    } else {
      out.append(*text);
    }
    return true;
  }
  if (v.is_undefined()) {
    out.append(as_repr ? "Undefined" : "", author::model);
    return true;
  }
  if (v.is_none()) {
    out.append("None", author::model);
    return true;
  }
  if (const auto* const b = v.get<bool>()) {
    out.append(*b ? "True" : "False", author::model);
    return true;
  }
  if (const auto* const i = v.get<std::int64_t>()) {
    out.append(fmt::format("{}", *i), author::model);
    return true;
  }
  if (const auto* const d = v.get<double>()) {
    out.append(float_text(*d), author::model);
    return true;
  }
  if (const auto* const items = v.as_list()) {
    out.append(items->tuple ? "(" : "[", author::model);
    for (std::size_t i = 0; i < items->items.size(); ++i) {
      out.append(i == 0 ? "" : ", ", author::model);
      if (!append_plain(out, items->items[i], true)) {
        return false;
      }
    }
    const bool lone = items->tuple && items->items.size() == 1;
    out.append(lone ? ",)" : items->tuple ? ")" : "]", author::model);
    return true;
  }
  if (const auto* const members = v.as_dict()) {
    out.append("{", author::model);
    for (std::size_t i = 0; i < members->items.size(); ++i) {
      out.append(i == 0 ? "" : ", ", author::model);
      if (!append_plain(out, members->items[i].first, true)) {
        return false;
      }
      out.append(": ", author::model);
      if (!append_plain(out, members->items[i].second, true)) {
        return false;
      }
    }
    out.append("}", author::model);
    return true;
  }
  return false;
}

/// Writes one document.
class json_writer {
public:
  json_writer(const json_style& style, marked_text& out) : style_(style), out_(out) {}

  bool write(const value& v) {
    if (const auto* const text = v.as_text()) {
      write_text(*text);
    } else if (v.is_none()) {
      out_.append("null", author::model);
    } else if (const auto* const b = v.get<bool>()) {
      out_.append(*b ? "true" : "false", author::model);
    } else if (const auto* const i = v.get<std::int64_t>()) {
      out_.append(fmt::format("{}", *i), author::model);
    } else if (const auto* const d = v.get<double>()) {
      write_float(*d);
    } else if (const auto* const items = v.as_list()) {
      return write_list(*items);
    } else if (const auto* const members = v.as_dict()) {
      return write_dict(*members);
    } else {
      return false;
    }
    return true;
  }

private:
  void write_float(double d) {
    out_.append(std::isnan(d)   ? "NaN"
                : std::isinf(d) ? (d < 0 ? "-Infinity" : "Infinity")
                                : float_text(d),
                author::model);
  }

  void write_text(const marked_text& text) {
    out_.append("\"", author::model);
    for (std::size_t at = 0; at < text.size();) {
      const auto step = compute::read_utf8(std::string_view{text.bytes()}.substr(at));
      write_character(text, at, step);
      at += step.bytes;
    }
    out_.append("\"", author::model);
  }

  void write_character(const marked_text& text, std::size_t at, const compute::utf8_step& step) {
    constexpr std::string_view plain = "\"\\\n\r\t\b\f";
    constexpr std::string_view names = "\"\\nrtbf";
    const auto code = static_cast<std::uint32_t>(step.value);
    if (const auto n = plain.find(text.bytes()[at]); n != std::string_view::npos) {
      out_.append("\\", author::model);
      out_.append(names.substr(n, 1), author::model);
    } else if (code < 0x20 || (style_.ascii && code > 0x7E && code < 0x10000)) {
      out_.append(fmt::format("\\u{:04x}", code), author::model);
    } else if (style_.ascii && code >= 0x10000) {
      out_.append(fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((code - 0x10000) >> 10U),
                              0xDC00 + ((code - 0x10000) & 0x3FFU)),
                  author::model);
    } else {
      out_.append(text.part(at, step.bytes));
    }
  }

  void begin_line() {
    if (style_.indent) {
      out_.append("\n", author::model);
      for (std::size_t i = 0; i < level_; ++i) {
        out_.append(*style_.indent, author::model);
      }
    }
  }

  void separate(std::size_t i) {
    if (i > 0) {
      out_.append(style_.item_separator.value_or(style_.indent ? "," : ", "), author::model);
    }
    begin_line();
  }

  bool write_list(const list_value& items) {
    out_.append("[", author::model);
    ++level_;
    for (std::size_t i = 0; i < items.items.size(); ++i) {
      separate(i);
      if (!write(items.items[i])) {
        return false;
      }
    }
    --level_;
    if (!items.items.empty()) {
      begin_line();
    }
    out_.append("]", author::model);
    return true;
  }

  bool write_key(const value& key) {
    if (const auto* const text = key.as_text()) {
      write_text(*text);
      return true;
    }
    if (!key.as_number() && !key.is_none()) {
      return false;
    }
    out_.append("\"", author::model);
    const bool written = write(key);
    out_.append("\"", author::model);
    return written;
  }

  bool write_dict(const dict_value& members) {
    std::vector<const std::pair<value, value>*> order;
    for (const auto& item : members.items) {
      order.push_back(&item);
    }
    if (style_.sort_keys) {
      std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
        return compare(a->first, b->first).value_or(0) < 0;
      });
    }
    out_.append("{", author::model);
    ++level_;
    for (std::size_t i = 0; i < order.size(); ++i) {
      separate(i);
      if (!write_key(order[i]->first)) {
        return false;
      }
      out_.append(style_.key_separator.value_or(": "), author::model);
      if (!write(order[i]->second)) {
        return false;
      }
    }
    --level_;
    if (!order.empty()) {
      begin_line();
    }
    out_.append("}", author::model);
    return true;
  }

  const json_style& style_;
  marked_text& out_;
  std::size_t level_{0};
};

} // namespace

std::optional<marked_text> str_of(const value& v) {
  marked_text out;
  return append_plain(out, v, false) ? std::optional{std::move(out)} : std::nullopt;
}

std::optional<marked_text> json_of(const value& v, const json_style& style) {
  marked_text out;
  return json_writer{style, out}.write(v) ? std::optional{std::move(out)} : std::nullopt;
}

} // namespace ovir::templates
