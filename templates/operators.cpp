#include "templates/operators.hpp"

#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"
#include "templates/text_methods.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::templates {

namespace {

/// Byte at which character `index` of a text begins, its end beyond.
std::size_t byte_of(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) {
    at += compute::read_utf8(text.substr(at)).bytes;
  }
  return at;
}

value repeated(rendering& r, const value& what, std::int64_t times) {
  times = std::max<std::int64_t>(times, 0);
  const marked_text* const text = what.as_text();
  const list_value* const list = what.as_list();
  if (text == nullptr && list == nullptr) {
    return arithmetic(r, "*", what, value{times});
  }
  const std::uint64_t each = text != nullptr ? text->size() : list->items.size() * sizeof(value);
  if (each != 0 && static_cast<std::uint64_t>(times) > limits::template_bytes_made_max / each) {
    return r.wrong(errc::over_limit, "a text or list is repeated too often");
  }
  if (!r.charge(0, each * static_cast<std::uint64_t>(times))) {
    return {};
  }
  marked_text repeated_text;
  std::vector<value> items;
  for (std::int64_t i = 0; i < times && each != 0; ++i) {
    if (text != nullptr) {
      repeated_text.append(*text);
    } else {
      items.insert(items.end(), list->items.begin(), list->items.end());
    }
  }
  return text != nullptr ? r.made(std::move(repeated_text))
                         : r.made_list(std::move(items), list->tuple);
}

bool contains(rendering& r, const value& all, const value& one) {
  if (const auto* const text = all.as_text()) {
    if (one.as_text() == nullptr) {
      r.wrong(errc::malformed, fmt::format("a {} cannot be in a text", one.kind()));
      return false;
    }
    return r.charge(text->size() / 64) &&
           text->bytes().find(one.as_text()->bytes()) != std::string::npos;
  }
  if (const auto* const dict = all.as_dict()) {
    return r.charge(1 + dict->items.size() / 4) && dict->find(one) != nullptr;
  }
  if (const auto* const list = all.as_list()) {
    return r.charge(1 + std::min(all.weight(), one.weight() * list->items.size()) / 64) &&
           std::find(list->items.begin(), list->items.end(), one) != list->items.end();
  }
  if (!all.is_undefined()) {
    r.wrong(errc::malformed, fmt::format("nothing can be in a {}", all.kind()));
  }
  return false;
}

} // namespace

value integer_arithmetic(rendering& r, std::string_view op, std::int64_t a, std::int64_t b) {
  std::int64_t out = 0;
  bool over = false;
  if (op == "+") {
    over = __builtin_add_overflow(a, b, &out);
  } else if (op == "-") {
    over = __builtin_sub_overflow(a, b, &out);
  } else if (op == "*") {
    over = __builtin_mul_overflow(a, b, &out);
  } else if (op == "**") {
    out = 1;
    for (std::int64_t i = 0; i < b && !over && r.charge(1); ++i) {
      over = __builtin_mul_overflow(out, a, &out);
    }
  } else if (b == 0) {
    return r.wrong(errc::malformed, "division by zero");
  } else if (b == -1) {
    over = op == "//" && __builtin_sub_overflow(std::int64_t{0}, a, &out);
  } else {
    // Towards minus infinity, as Python.
    const std::int64_t rest = a % b;
    const bool below = rest != 0 && (rest < 0) != (b < 0);
    out = op == "//" ? a / b - (below ? 1 : 0) : rest + (below ? b : 0);
  }
  return over ? r.wrong(errc::over_limit, "a number does not fit 64 bits") : value{out};
}

value arithmetic(rendering& r, std::string_view op, const value& a, const value& b) {
  const auto i = a.as_integer();
  const auto j = b.as_integer();
  if (i && j && op != "/" && !(op == "**" && *j < 0)) {
    return integer_arithmetic(r, op, *i, *j);
  }
  const auto x = a.as_number();
  const auto y = b.as_number();
  if (!x || !y) {
    if (a.is_undefined() || b.is_undefined()) {
      return r.wrong(
          errc::malformed,
          fmt::format("'{}' is undefined", (a.is_undefined() ? a : b).get<undefined>()->name));
    }
    return r.wrong(
        op == "%" && a.as_text() != nullptr ? errc::unsupported : errc::malformed,
        fmt::format("'{}' has no meaning between a {} and a {} here", op, a.kind(), b.kind()));
  }
  if ((op == "/" || op == "//" || op == "%") && *y == 0) {
    return r.wrong(errc::malformed, "division by zero");
  }
  if (op == "+") {
    return value{*x + *y};
  }
  if (op == "-") {
    return value{*x - *y};
  }
  if (op == "*") {
    return value{*x * *y};
  }
  if (op == "/") {
    return value{*x / *y};
  }
  if (op == "**") {
    return value{std::pow(*x, *y)};
  }
  const double rest = std::fmod(*x, *y);
  const double modulo = rest != 0 && (rest < 0) != (*y < 0) ? rest + *y : rest;
  return value{op == "%" ? modulo : std::floor((*x - modulo) / *y)};
}

bool holds(rendering& r, const value& a, std::string_view op, const value& b) {
  if (op == "in" || op == "not in") {
    return contains(r, b, a) == (op == "in");
  }
  if (!r.charge(std::min(a.weight(), b.weight()) / 64)) {
    return false;
  }
  if (op == "==" || op == "!=") {
    return (a == b) == (op == "==");
  }
  const auto order = compare(a, b);
  if (!order) {
    if (!a.as_number() || !b.as_number()) {
      r.wrong(errc::malformed, fmt::format("a {} and a {} have no order", a.kind(), b.kind()));
    }
    return false;
  }
  return op == "<" ? *order < 0 : op == "<=" ? *order <= 0 : op == ">" ? *order > 0 : *order >= 0;
}

value signed_value(rendering& r, std::string_view sign, const value& v) {
  if (r.failed()) {
    return {};
  }
  if (sign == "not") {
    return value{!v.truth()};
  }
  if (const auto i = v.as_integer()) {
    return sign == "-" ? integer_arithmetic(r, "-", 0, *i) : value{*i};
  }
  if (const auto d = v.as_number()) {
    return value{sign == "-" ? -*d : *d};
  }
  return r.wrong(errc::malformed, fmt::format("a {} has no sign", v.kind()));
}

value combined(rendering& r, std::string_view op, const value& a, const value& b) {
  if (r.failed()) {
    return {};
  }
  if (op == "~") {
    marked_text joined = r.text_of(a);
    joined.append(r.text_of(b));
    return r.made(std::move(joined));
  }
  if (op == "+" && a.as_text() != nullptr && b.as_text() != nullptr) {
    if (!r.charge(0, a.as_text()->size())) {
      return {};
    }
    marked_text joined = *a.as_text();
    joined.append(*b.as_text());
    return r.made(std::move(joined));
  }
  if (op == "+" && a.as_list() != nullptr && b.as_list() != nullptr &&
      a.as_list()->tuple == b.as_list()->tuple) {
    std::vector<value> joined = r.items_of(a);
    for (value& v : r.items_of(b)) {
      joined.push_back(std::move(v));
    }
    return r.made_list(std::move(joined), a.as_list()->tuple);
  }
  if (op == "*" && b.as_integer() && !a.as_number()) {
    return repeated(r, a, *b.as_integer());
  }
  if (op == "*" && a.as_integer() && !b.as_number()) {
    return repeated(r, b, *a.as_integer());
  }
  return arithmetic(r, op, a, b);
}

value sliced(rendering& r, const value& of, const value& from, const value& to,
             const value& step_value) {
  const std::int64_t step = r.integer_or(step_value, 1);
  const marked_text* const text = of.as_text();
  if (!r.failed() && text == nullptr && of.as_list() == nullptr) {
    return of.is_undefined() ? r.wrong(errc::malformed,
                                       fmt::format("'{}' is undefined", of.get<undefined>()->name))
                             : value::missing("a slice");
  }
  if (step == 0 || step < -limits::template_slice_step_max ||
      step > limits::template_slice_step_max) {
    return r.wrong(errc::malformed, "the step of a slice is 0 or too large");
  }
  if (r.failed() || !r.charge(text != nullptr ? text->size() / 64 : 1)) {
    return {};
  }
  const auto length = static_cast<std::int64_t>(text != nullptr ? length_of(text->bytes())
                                                                : of.as_list()->items.size());
  const std::int64_t least = step < 0 ? -1 : 0;
  const std::int64_t most = step < 0 ? length - 1 : length;
  const auto clamped = [&](const value& v, std::int64_t otherwise) {
    std::int64_t i = r.integer_or(v, otherwise);
    if (v.as_integer() && i < 0) {
      i = std::max(i, -length - 1) + length;
    }
    return v.as_integer() ? std::clamp(i, least, most) : otherwise;
  };
  const std::int64_t begin = clamped(from, step < 0 ? most : least);
  const std::int64_t end = clamped(to, step < 0 ? least : most);
  if (r.failed()) {
    return {};
  }
  if (text != nullptr && step == 1) {
    const std::size_t a = byte_of(text->bytes(), static_cast<std::size_t>(begin));
    const std::size_t b = byte_of(text->bytes(), static_cast<std::size_t>(std::max(begin, end)));
    return r.made(text->part(a, b - a));
  }
  const std::vector<value> all = r.items_of(of);
  std::vector<value> items;
  for (std::int64_t i = begin; !r.failed() && (step < 0 ? i > end : i < end); i += step) {
    items.push_back(all[static_cast<std::size_t>(i)]);
  }
  if (text == nullptr) {
    return r.made_list(std::move(items), of.as_list()->tuple);
  }
  marked_text joined;
  for (const value& v : items) {
    joined.append(*v.as_text());
  }
  return r.made(std::move(joined));
}

} // namespace ovir::templates
