#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"
#include "templates/interpreter.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ovir::templates {

namespace {

constexpr std::array<std::string_view, 5> functions{"range", "namespace", "dict", "raise_exception",
                                                    "strftime_now"};

/// Byte at which character `index` of a text begins, its end beyond.
std::size_t byte_of(std::string_view text, std::size_t index) {
  std::size_t at = 0;
  for (; index > 0 && at < text.size(); --index) {
    at += compute::read_utf8(text.substr(at)).bytes;
  }
  return at;
}

} // namespace

value interpreter::evaluate(node_index at) {
  const node& n = tree_.nodes[at];
  if (failed()) {
    return {};
  }
  line_ = n.line;
  if (!charge(1)) {
    return {};
  }
  if (nesting_ == limits::template_nesting_max) {
    return wrong(errc::over_limit, "expressions and calls lie too deep in each other");
  }
  ++nesting_;
  value out = evaluate_plain(n);
  --nesting_;
  return failed() ? value{} : out;
}

value interpreter::evaluate_plain(const node& n) {
  switch (n.what) {
  case node_kind::constant: return n.constant;
  case node_kind::name: return lookup(n.name);
  case node_kind::list:
  case node_kind::tuple: {
    std::vector<value> items;
    for (const node_index part : n.parts) {
      items.push_back(evaluate(part));
    }
    return made_list(std::move(items), n.what == node_kind::tuple);
  }
  case node_kind::dict: return evaluate_dict(n);
  case node_kind::attribute: return member(evaluate(n.parts[0]), n.name);
  case node_kind::item: {
    const value of = evaluate(n.parts[0]);
    return item(of, evaluate(n.parts[1]));
  }
  case node_kind::slice: return evaluate_slice(n);
  case node_kind::call: return evaluate_call(n, nullptr);
  case node_kind::filter: return apply_filter(n.name, values_of(n, 0));
  case node_kind::test: return value{apply_test(n.name, values_of(n, 0))};
  case node_kind::unary: return evaluate_unary(n);
  case node_kind::binary: return evaluate_binary(n);
  case node_kind::comparison: return evaluate_comparison(n);
  case node_kind::logic: {
    const value left = evaluate(n.parts[0]);
    return left.truth() == (n.name == "or") ? left : evaluate(n.parts[1]);
  }
  case node_kind::conditional:
    if (evaluate(n.parts[0]).truth()) {
      return evaluate(n.parts[1]);
    }
    return n.parts[2] == 0 ? value::missing("the value of an 'if' without 'else'")
                           : evaluate(n.parts[2]);
  default: return wrong(errc::internal, "no expression");
  }
}

value interpreter::evaluate_dict(const node& n) {
  dict_value members;
  for (std::size_t i = 0; i < n.parts.size() && !failed(); i += 2) {
    const value key = evaluate(n.parts[i]);
    if (key.depth() != 0 || !charge(1 + members.items.size() / 8)) {
      return wrong(errc::malformed, "a list cannot be a key");
    }
    members.set(key, evaluate(n.parts[i + 1]));
  }
  return failed() ? value{} : made_dict(std::move(members));
}

value interpreter::lookup(const std::string& name) {
  for (const scope* s = scope_.get(); s != nullptr; s = s->parent.get()) {
    if (!charge(s->variables.size() / 16)) {
      return {};
    }
    // The last of a name is the newest: macros may be defined again.
    const auto at = std::find_if(s->variables.rbegin(), s->variables.rend(),
                                 [&](const auto& v) { return v.first == name; });
    if (at != s->variables.rend()) {
      return at->second;
    }
  }
  if (const value* const given = variables_.find(name)) {
    return *given;
  }
  if (std::find(functions.begin(), functions.end(), name) != functions.end()) {
    return value{value::state{function_value{name, nullptr}}};
  }
  return value::missing(name);
}

call_values interpreter::values_of(const node& n, std::size_t first) {
  call_values with;
  const std::size_t plain = n.parts.size() - n.names.size();
  for (std::size_t i = first; i < n.parts.size() && !failed(); ++i) {
    value v = evaluate(n.parts[i]);
    if (i < plain) {
      with.plain.push_back(std::move(v));
    } else {
      with.named.emplace_back(n.names[i - plain], std::move(v));
    }
  }
  return with;
}

value interpreter::evaluate_call(const node& n, const value* caller) {
  const value callee = evaluate(n.parts[0]);
  call_values with = values_of(n, 1);
  if (failed()) {
    return {};
  }
  if (caller != nullptr) {
    with.named.emplace_back("caller", *caller);
  }
  line_ = n.line;
  return call(callee, std::move(with));
}

value interpreter::evaluate_unary(const node& n) {
  const value v = evaluate(n.parts[0]);
  if (failed()) {
    return {};
  }
  if (n.name == "not") {
    return value{!v.truth()};
  }
  if (const auto i = v.as_integer()) {
    return n.name == "-" ? integer_arithmetic("-", 0, *i) : value{*i};
  }
  if (const auto d = v.as_number()) {
    return value{n.name == "-" ? -*d : *d};
  }
  return wrong(errc::malformed, fmt::format("a {} has no sign", v.kind()));
}

value interpreter::evaluate_binary(const node& n) {
  const value a = evaluate(n.parts[0]);
  const value b = evaluate(n.parts[1]);
  if (failed()) {
    return {};
  }
  if (n.name == "~") {
    marked_text joined = text_of(a);
    joined.append(text_of(b));
    return made(std::move(joined));
  }
  if (n.name == "+" && a.as_text() != nullptr && b.as_text() != nullptr) {
    if (!charge(0, a.as_text()->size())) {
      return {};
    }
    marked_text joined = *a.as_text();
    joined.append(*b.as_text());
    return made(std::move(joined));
  }
  if (n.name == "+" && a.as_list() != nullptr && b.as_list() != nullptr &&
      a.as_list()->tuple == b.as_list()->tuple) {
    std::vector<value> joined = items_of(a);
    for (value& v : items_of(b)) {
      joined.push_back(std::move(v));
    }
    return made_list(std::move(joined), a.as_list()->tuple);
  }
  if (n.name == "*" && b.as_integer() && !a.as_number()) {
    return repeated(a, *b.as_integer());
  }
  if (n.name == "*" && a.as_integer() && !b.as_number()) {
    return repeated(b, *a.as_integer());
  }
  return arithmetic(n.name, a, b);
}

value interpreter::repeated(const value& what, std::int64_t times) {
  times = std::max<std::int64_t>(times, 0);
  const marked_text* const text = what.as_text();
  const list_value* const list = what.as_list();
  if (text == nullptr && list == nullptr) {
    return arithmetic("*", what, value{times});
  }
  const std::uint64_t each = text != nullptr ? text->size() : list->items.size() * sizeof(value);
  if (each != 0 && static_cast<std::uint64_t>(times) > limits::template_bytes_made_max / each) {
    return wrong(errc::over_limit, "a text or list is repeated too often");
  }
  if (!charge(0, each * static_cast<std::uint64_t>(times))) {
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
  return text != nullptr ? made(std::move(repeated_text))
                         : made_list(std::move(items), list->tuple);
}

value interpreter::integer_arithmetic(std::string_view op, std::int64_t a, std::int64_t b) {
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
    for (std::int64_t i = 0; i < b && !over && charge(1); ++i) {
      over = __builtin_mul_overflow(out, a, &out);
    }
  } else if (b == 0) {
    return wrong(errc::malformed, "division by zero");
  } else if (b == -1) {
    over = op == "//" && __builtin_sub_overflow(std::int64_t{0}, a, &out);
  } else {
    // Towards minus infinity, as Python.
    const std::int64_t rest = a % b;
    const bool below = rest != 0 && (rest < 0) != (b < 0);
    out = op == "//" ? a / b - (below ? 1 : 0) : rest + (below ? b : 0);
  }
  return over ? wrong(errc::over_limit, "a number does not fit 64 bits") : value{out};
}

value interpreter::arithmetic(std::string_view op, const value& a, const value& b) {
  const auto i = a.as_integer();
  const auto j = b.as_integer();
  if (i && j && op != "/" && !(op == "**" && *j < 0)) {
    return integer_arithmetic(op, *i, *j);
  }
  const auto x = a.as_number();
  const auto y = b.as_number();
  if (!x || !y) {
    if (a.is_undefined() || b.is_undefined()) {
      return wrong(errc::malformed, fmt::format("'{}' is undefined",
                                                (a.is_undefined() ? a : b).get<undefined>()->name));
    }
    return wrong(
        op == "%" && a.as_text() != nullptr ? errc::unsupported : errc::malformed,
        fmt::format("'{}' has no meaning between a {} and a {} here", op, a.kind(), b.kind()));
  }
  if ((op == "/" || op == "//" || op == "%") && *y == 0) {
    return wrong(errc::malformed, "division by zero");
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

bool interpreter::contains(const value& all, const value& one) {
  if (const auto* const text = all.as_text()) {
    if (one.as_text() == nullptr) {
      wrong(errc::malformed, fmt::format("a {} cannot be in a text", one.kind()));
      return false;
    }
    return charge(text->size() / 64) &&
           text->bytes().find(one.as_text()->bytes()) != std::string::npos;
  }
  if (const auto* const dict = all.as_dict()) {
    return charge(1 + dict->items.size() / 4) && dict->find(one) != nullptr;
  }
  if (const auto* const list = all.as_list()) {
    return charge(1 + std::min(all.weight(), one.weight() * list->items.size()) / 64) &&
           std::find(list->items.begin(), list->items.end(), one) != list->items.end();
  }
  if (!all.is_undefined()) {
    wrong(errc::malformed, fmt::format("nothing can be in a {}", all.kind()));
  }
  return false;
}

bool interpreter::holds(const value& a, std::string_view op, const value& b) {
  if (op == "in" || op == "not in") {
    return contains(b, a) == (op == "in");
  }
  if (!charge(std::min(a.weight(), b.weight()) / 64)) {
    return false;
  }
  if (op == "==" || op == "!=") {
    return (a == b) == (op == "==");
  }
  const auto order = compare(a, b);
  if (!order) {
    if (!a.as_number() || !b.as_number()) {
      wrong(errc::malformed, fmt::format("a {} and a {} have no order", a.kind(), b.kind()));
    }
    return false;
  }
  return op == "<" ? *order < 0 : op == "<=" ? *order <= 0 : op == ">" ? *order > 0 : *order >= 0;
}

value interpreter::evaluate_comparison(const node& n) {
  value left = evaluate(n.parts[0]);
  for (std::size_t i = 0; i < n.names.size() && !failed(); ++i) {
    value right = evaluate(n.parts[i + 1]);
    if (failed() || !holds(left, n.names[i], right)) {
      return value{false};
    }
    left = std::move(right);
  }
  return value{true};
}

value interpreter::evaluate_slice(const node& n) {
  const value of = evaluate(n.parts[0]);
  const auto bound_at = [&](std::size_t i) {
    return n.parts[i] == 0 ? value{none{}} : evaluate(n.parts[i]);
  };
  const value from = bound_at(1);
  const value to = bound_at(2);
  const std::int64_t step = integer_or(bound_at(3), 1);
  const marked_text* const text = of.as_text();
  if (!failed() && text == nullptr && of.as_list() == nullptr) {
    return of.is_undefined()
               ? wrong(errc::malformed, fmt::format("'{}' is undefined", of.get<undefined>()->name))
               : value::missing("a slice");
  }
  if (step == 0 || step < -limits::template_slice_step_max ||
      step > limits::template_slice_step_max) {
    return wrong(errc::malformed, "the step of a slice is 0 or too large");
  }
  if (failed() || !charge(text != nullptr ? text->size() / 64 : 1)) {
    return {};
  }
  const auto length = static_cast<std::int64_t>(text != nullptr ? length_of(text->bytes())
                                                                : of.as_list()->items.size());
  const std::int64_t least = step < 0 ? -1 : 0;
  const std::int64_t most = step < 0 ? length - 1 : length;
  const auto clamped = [&](const value& v, std::int64_t otherwise) {
    std::int64_t i = integer_or(v, otherwise);
    if (v.as_integer() && i < 0) {
      i = std::max(i, -length - 1) + length;
    }
    return v.as_integer() ? std::clamp(i, least, most) : otherwise;
  };
  const std::int64_t begin = clamped(from, step < 0 ? most : least);
  const std::int64_t end = clamped(to, step < 0 ? least : most);
  if (failed()) {
    return {};
  }
  if (text != nullptr && step == 1) {
    const std::size_t a = byte_of(text->bytes(), static_cast<std::size_t>(begin));
    const std::size_t b = byte_of(text->bytes(), static_cast<std::size_t>(std::max(begin, end)));
    return made(text->part(a, b - a));
  }
  const std::vector<value> all = items_of(of);
  std::vector<value> items;
  for (std::int64_t i = begin; !failed() && (step < 0 ? i > end : i < end); i += step) {
    items.push_back(all[static_cast<std::size_t>(i)]);
  }
  if (text == nullptr) {
    return made_list(std::move(items), of.as_list()->tuple);
  }
  marked_text joined;
  for (const value& v : items) {
    joined.append(*v.as_text());
  }
  return made(std::move(joined));
}

} // namespace ovir::templates
