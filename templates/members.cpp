#include "compute/base/printable.hpp"
#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"
#include "templates/interpreter.hpp"

#include <algorithm>
#include <array>
#include <chrono>

namespace ovir::templates {

namespace {

constexpr std::array<std::string_view, 6> dict_methods{"get",    "items",  "keys",
                                                       "values", "update", "pop"};
constexpr std::array<std::string_view, 6> list_methods{"append", "extend", "insert",
                                                       "pop",    "index",  "count"};
constexpr std::array<std::string_view, 18> text_methods{
    "strip",      "lstrip",     "rstrip",  "split", "rsplit", "splitlines",
    "startswith", "endswith",   "upper",   "lower", "title",  "join",
    "find",       "capitalize", "replace", "count", "format", "isdigit"};
constexpr std::array<std::string_view, 2> loop_methods{"cycle", "changed"};

bool is_one_of(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool has_method(const value& of, std::string_view name) {
  return (of.as_dict() != nullptr && is_one_of(dict_methods, name)) ||
         (of.as_list() != nullptr && is_one_of(list_methods, name)) ||
         (of.as_text() != nullptr && is_one_of(text_methods, name)) ||
         (of.get<std::shared_ptr<loop_state>>() != nullptr && is_one_of(loop_methods, name));
}

} // namespace

value interpreter::member(const value& of, std::string_view name) {
  if (failed()) {
    return {};
  }
  if (of.is_undefined()) {
    return wrong(errc::malformed, fmt::format("'{}' is undefined, so it has no '{}'",
                                              of.get<undefined>()->name, name));
  }
  if (has_method(of, name)) {
    return value{value::state{function_value{std::string{name}, std::make_shared<value>(of)}}};
  }
  const dict_value* members = of.as_dict();
  if (const auto* const space = of.get<std::shared_ptr<namespace_value>>()) {
    members = &(*space)->members;
  }
  if (members != nullptr) {
    const value* const found = charge(members->items.size() / 8) ? members->find(name) : nullptr;
    return found == nullptr ? value::missing(name) : *found;
  }
  if (const auto* const loop = of.get<std::shared_ptr<loop_state>>()) {
    return loop_member(**loop, name);
  }
  return value::missing(name);
}

value interpreter::loop_member(const loop_state& loop, std::string_view name) {
  const auto at = static_cast<std::int64_t>(loop.at);
  const auto length = static_cast<std::int64_t>(loop.items.size());
  if (name == "index" || name == "index0") {
    return value{at + (name == "index" ? 1 : 0)};
  }
  if (name == "revindex" || name == "revindex0") {
    return value{length - at - (name == "revindex" ? 0 : 1)};
  }
  if (name == "first" || name == "last") {
    return value{name == "first" ? at == 0 : at + 1 == length};
  }
  if (name == "length") {
    return value{length};
  }
  if (name == "depth" || name == "depth0") {
    return value{std::int64_t{name == "depth" ? 1 : 0}}; // loops are never recursive
  }
  if (name == "previtem") {
    return at == 0 ? value::missing("loop.previtem") : loop.items[loop.at - 1];
  }
  if (name == "nextitem") {
    return at + 1 == length ? value::missing("loop.nextitem") : loop.items[loop.at + 1];
  }
  return value::missing(name);
}

value interpreter::item(const value& of, const value& key) {
  if (failed()) {
    return {};
  }
  if (of.is_undefined()) {
    return wrong(errc::malformed,
                 fmt::format("'{}' is undefined, so it has no items", of.get<undefined>()->name));
  }
  if (const auto* const dict = of.as_dict()) {
    const value* const found = charge(dict->items.size() / 8) ? dict->find(key) : nullptr;
    if (found != nullptr) {
      return *found;
    }
  }
  const auto index = key.as_integer();
  if (index && (of.as_list() != nullptr || of.as_text() != nullptr)) {
    const marked_text* const text = of.as_text();
    if (text != nullptr && !charge(text->size() / 64)) {
      return {};
    }
    const auto length = static_cast<std::int64_t>(text != nullptr ? length_of(text->bytes())
                                                                  : of.as_list()->items.size());
    if (*index >= length || *index < -length) {
      return value::missing("an item beyond the end");
    }
    const auto at = static_cast<std::size_t>(*index < 0 ? *index + length : *index);
    if (text == nullptr) {
      return of.as_list()->items[at];
    }
    std::size_t byte = 0;
    for (std::size_t i = 0; i < at; ++i) {
      byte += compute::read_utf8(std::string_view{text->bytes()}.substr(byte)).bytes;
    }
    return made(
        text->part(byte, compute::read_utf8(std::string_view{text->bytes()}.substr(byte)).bytes));
  }
  if (const marked_text* const name = key.as_text()) {
    return of.as_dict() != nullptr && !has_method(of, name->bytes())
               ? value::missing(compute::printable(name->bytes()))
               : member(of, name->bytes());
  }
  return value::missing("an item that is not there");
}

/// What a path of names and numbers leads to: "function.name".
value interpreter::path_of(const value& of, const value& path) {
  if (path.as_text() == nullptr) {
    return item(of, path);
  }
  value at = of;
  std::string_view rest = path.as_text()->bytes();
  while (!failed()) {
    const std::size_t dot = rest.find('.');
    const std::string_view name = rest.substr(0, dot);
    const bool number =
        !name.empty() && name.size() < 10 &&
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    at = item(at, number ? value{std::int64_t{std::stoll(std::string{name})}} : value::text(name));
    if (dot == std::string_view::npos) {
      break;
    }
    rest.remove_prefix(dot + 1);
  }
  return at;
}

value interpreter::call(const value& callee, call_values with) {
  if (failed()) {
    return {};
  }
  if (const auto* const m = callee.get<std::shared_ptr<const macro>>()) {
    return call_macro(**m, std::move(with));
  }
  if (const auto* const f = callee.get<function_value>()) {
    return f->self == nullptr ? call_function(f->name, with) : call_method(*f->self, f->name, with);
  }
  return callee.is_undefined()
             ? wrong(errc::malformed, fmt::format("'{}' is undefined, so it cannot be called",
                                                  callee.get<undefined>()->name))
             : wrong(errc::malformed, fmt::format("a {} cannot be called", callee.kind()));
}

value interpreter::call_macro(const macro& m, call_values with) {
  const node& n = tree_.nodes[m.definition];
  if (with.plain.size() > n.names.size()) {
    return wrong(errc::malformed,
                 fmt::format("the macro '{}' takes at most {} arguments", n.name, n.names.size()));
  }
  const auto inside = std::make_shared<scope>(scope{{}, m.home});
  const std::shared_ptr<scope> outside = std::exchange(scope_, inside);
  const std::size_t defaults = n.parts.size() - 1;
  for (std::size_t i = 0; i < n.names.size() && !failed(); ++i) {
    const auto named = std::find_if(with.named.begin(), with.named.end(),
                                    [&](const auto& v) { return v.first == n.names[i]; });
    value v = value::missing(n.names[i]);
    if (i < with.plain.size()) {
      v = with.plain[i];
    } else if (named != with.named.end()) {
      v = named->second;
      with.named.erase(named);
    } else if (i + defaults >= n.names.size()) {
      v = evaluate(n.parts[i + defaults - n.names.size()]);
    }
    inside->variables.emplace_back(n.names[i], std::move(v));
  }
  const bool has_caller = with.named.size() == 1 && with.named[0].first == "caller";
  if (has_caller) {
    inside->variables.push_back(with.named[0]);
  } else if (!with.named.empty()) {
    wrong(errc::malformed,
          fmt::format("the macro '{}' has no parameter '{}' left", n.name, with.named[0].first));
  }
  value out = failed() || !charge(1, sizeof(scope)) ? value{} : rendered(n.parts.back());
  scope_ = outside;
  return out;
}

value interpreter::make_range(const bound& with) {
  const std::int64_t first = integer_or(with[0], 0);
  const bool one = with[1].is_undefined();
  const std::int64_t from = one ? 0 : first;
  const std::int64_t to = one ? first : integer_or(with[1], 0);
  const std::int64_t step = integer_or(with[2], 1);
  if (step == 0) {
    return wrong(errc::malformed, "the step of a range is 0");
  }
  std::vector<value> items;
  for (std::int64_t i = from; (step > 0 ? i < to : i > to) && charge(1, sizeof(value));) {
    items.emplace_back(i);
    if (__builtin_add_overflow(i, step, &i)) {
      break;
    }
  }
  return made_list(std::move(items));
}

value interpreter::call_function(std::string_view name, const call_values& with) {
  if (name == "namespace" || name == "dict") {
    dict_value members;
    if (with.plain.size() == 1 && with.plain[0].as_dict() != nullptr) {
      members = *with.plain[0].as_dict();
    } else if (!with.plain.empty()) {
      return wrong(errc::unsupported, fmt::format("'{}' is given what it cannot be made of", name));
    }
    for (const auto& [key, v] : with.named) {
      members.set(value::text(key), v);
    }
    if (name == "dict") {
      return made_dict(std::move(members));
    }
    if (!charge(1, members.items.size() * 2 * sizeof(value) + sizeof(namespace_value))) {
      return {};
    }
    namespaces_.push_back(std::make_shared<namespace_value>(namespace_value{std::move(members)}));
    return value{value::state{namespaces_.back()}};
  }
  constexpr std::array<std::string_view, 3> range_parameters{"start", "stop", "step"};
  constexpr std::array<std::string_view, 1> one_parameter{"message"};
  if (name == "range") {
    const auto values = bind(name, with, range_parameters);
    return values && with.named.empty() ? make_range(*values)
                                        : wrong(errc::malformed, "'range' takes plain numbers");
  }
  const auto values = bind(name, with, one_parameter);
  if (!values) {
    return {};
  }
  if (name == "raise_exception") {
    const marked_text said = text_of((*values)[0]);
    return wrong(errc::invalid_argument,
                 fmt::format("the model's chat template refuses this conversation: {}",
                             compute::printable(said.bytes(), 300)));
  }
  return time_text((*values)[0]);
}

value interpreter::time_text(const value& format) {
  constexpr std::array<std::string_view, 12> months{
      "January", "February", "March",     "April",   "May",      "June",
      "July",    "August",   "September", "October", "November", "December"};
  constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                 "Thursday", "Friday", "Saturday"};
  if (!now_ || format.as_text() == nullptr) {
    return wrong(errc::unsupported, "the template asks for the time, which is not given to it");
  }
  const std::chrono::sys_seconds when{std::chrono::seconds{now_->seconds}};
  const auto day = std::chrono::floor<std::chrono::days>(when);
  const std::chrono::year_month_day date{day};
  const auto second = (when - day).count();
  const auto hour = second / 3600;
  const auto month = months[static_cast<unsigned>(date.month()) - 1];
  const auto weekday = days[std::chrono::weekday{day}.c_encoding()];
  const auto of_month = static_cast<unsigned>(date.day());
  std::string out;
  const std::string& text = format.as_text()->bytes();
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    switch (text[++i]) {
    case 'Y': out += fmt::format("{}", static_cast<int>(date.year())); break;
    case 'm': out += fmt::format("{:02}", static_cast<unsigned>(date.month())); break;
    case 'd': out += fmt::format("{:02}", of_month); break;
    case 'e': out += fmt::format("{:2}", of_month); break;
    case 'b': out += month.substr(0, 3); break;
    case 'B': out += month; break;
    case 'a': out += weekday.substr(0, 3); break;
    case 'A': out += weekday; break;
    case 'H': out += fmt::format("{:02}", hour); break;
    case 'I': out += fmt::format("{:02}", hour % 12 == 0 ? 12 : hour % 12); break;
    case 'M': out += fmt::format("{:02}", second / 60 % 60); break;
    case 'S': out += fmt::format("{:02}", second % 60); break;
    case 'p': out += hour < 12 ? "AM" : "PM"; break;
    case '%': out += '%'; break;
    default:
      return wrong(errc::unsupported, fmt::format("the template asks for '%{}' of the time",
                                                  compute::printable(text.substr(i, 1))));
    }
  }
  return made({out, author::model});
}

value interpreter::call_method(const value& self, std::string_view name, const call_values& with) {
  if (const auto* const loop = self.get<std::shared_ptr<loop_state>>()) {
    return call_loop_method(**loop, name, with);
  }
  constexpr std::array<std::string_view, 4> get_parameters{"key", "default", "", ""};
  constexpr std::array<std::string_view, 4> text_parameters{"sep", "maxsplit", "count", ""};
  const bool dict = self.as_dict() != nullptr;
  const auto values = bind(name, with, dict ? get_parameters : text_parameters);
  if (!values) {
    return {};
  }
  if (dict) {
    return call_dict_method(*self.as_dict(), name, *values);
  }
  if (const marked_text* const text = self.as_text()) {
    return charge(1 + text->size() / 32) ? call_text_method(*text, name, *values) : value{};
  }
  if (const list_value* const list = self.as_list();
      list != nullptr && charge(list->items.size())) {
    if (name == "count") {
      return value{static_cast<std::int64_t>(
          std::count(list->items.begin(), list->items.end(), (*values)[0]))};
    }
    if (name == "index") {
      const auto at = std::find(list->items.begin(), list->items.end(), (*values)[0]);
      return at == list->items.end() ? wrong(errc::malformed, "'index' does not find its value")
                                     : value{static_cast<std::int64_t>(at - list->items.begin())};
    }
  }
  return wrong(errc::unsupported,
               fmt::format("'{}' would change what templates may only read", name));
}

value interpreter::call_dict_method(const dict_value& self, std::string_view name,
                                    const bound& with) {
  if (!charge(1 + self.items.size() / 8, self.items.size() * sizeof(value))) {
    return {};
  }
  if (name == "get") {
    const value* const found = self.find(with[0]);
    return found != nullptr ? *found : with[1].is_undefined() ? value{none{}} : with[1];
  }
  std::vector<value> items;
  for (const auto& [key, v] : self.items) {
    items.push_back(name == "keys" ? key : name == "values" ? v : value::list({key, v}, true));
  }
  if (name == "keys" || name == "values" || name == "items") {
    return made_list(std::move(items));
  }
  return wrong(errc::unsupported,
               fmt::format("'{}' would change what templates may only read", name));
}

value interpreter::call_loop_method(loop_state& loop, std::string_view name,
                                    const call_values& with) {
  if (name == "cycle") {
    return with.plain.empty() ? wrong(errc::malformed, "'cycle' has nothing to choose from")
                              : with.plain[loop.at % with.plain.size()];
  }
  value now = made_list(with.plain, true);
  if (failed() || !charge(now.weight() / 64)) {
    return {};
  }
  const bool changed = !loop.last_changed || !(*loop.last_changed == now);
  loop.last_changed = std::move(now);
  return value{changed};
}

} // namespace ovir::templates
