#include "templates/members.hpp"

#include "compute/base/printable.hpp"
#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"
#include "templates/text_methods.hpp"

#include <algorithm>
#include <array>

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

value loop_member(const loop_state& loop, std::string_view name) {
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

value call_loop_method(rendering& r, loop_state& loop, std::string_view name,
                       const call_values& with) {
  if (name == "cycle") {
    return with.plain.empty() ? r.wrong(errc::malformed, "'cycle' has nothing to choose from")
                              : with.plain[loop.at % with.plain.size()];
  }
  value now = r.made_list(with.plain, true);
  if (r.failed() || !r.charge(now.weight() / 64)) {
    return {};
  }
  const bool changed = !loop.last_changed || !(*loop.last_changed == now);
  loop.last_changed = std::move(now);
  return value{changed};
}

} // namespace

value member(rendering& r, const value& of, std::string_view name) {
  if (r.failed()) {
    return {};
  }
  if (of.is_undefined()) {
    return r.wrong(errc::malformed, fmt::format("'{}' is undefined, so it has no '{}'",
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
    const value* const found = r.charge(members->items.size() / 8) ? members->find(name) : nullptr;
    return found == nullptr ? value::missing(name) : *found;
  }
  if (const auto* const loop = of.get<std::shared_ptr<loop_state>>()) {
    return loop_member(**loop, name);
  }
  return value::missing(name);
}

value item(rendering& r, const value& of, const value& key) {
  if (r.failed()) {
    return {};
  }
  if (of.is_undefined()) {
    return r.wrong(errc::malformed,
                   fmt::format("'{}' is undefined, so it has no items", of.get<undefined>()->name));
  }
  if (const auto* const dict = of.as_dict()) {
    const value* const found = r.charge(dict->items.size() / 8) ? dict->find(key) : nullptr;
    if (found != nullptr) {
      return *found;
    }
  }
  const auto index = key.as_integer();
  if (index && (of.as_list() != nullptr || of.as_text() != nullptr)) {
    const marked_text* const text = of.as_text();
    if (text != nullptr && !r.charge(text->size() / 64)) {
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
    return r.made(
        text->part(byte, compute::read_utf8(std::string_view{text->bytes()}.substr(byte)).bytes));
  }
  if (const marked_text* const name = key.as_text()) {
    return of.as_dict() != nullptr && !has_method(of, name->bytes())
               ? value::missing(compute::printable(name->bytes()))
               : member(r, of, name->bytes());
  }
  return value::missing("an item that is not there");
}

/// What a path of names and numbers leads to: "function.name".
value path_of(rendering& r, const value& of, const value& path) {
  if (path.as_text() == nullptr) {
    return item(r, of, path);
  }
  value at = of;
  std::string_view rest = path.as_text()->bytes();
  while (!r.failed()) {
    const std::size_t dot = rest.find('.');
    const std::string_view name = rest.substr(0, dot);
    const bool number =
        !name.empty() && name.size() < 10 &&
        std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
    at = item(r, at,
              number ? value{std::int64_t{std::stoll(std::string{name})}} : value::text(name));
    if (dot == std::string_view::npos) {
      break;
    }
    rest.remove_prefix(dot + 1);
  }
  return at;
}

value call_dict_method(rendering& r, const dict_value& self, std::string_view name,
                       const bound& with) {
  if (!r.charge(1 + self.items.size() / 8, self.items.size() * sizeof(value))) {
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
    return r.made_list(std::move(items));
  }
  return r.wrong(errc::unsupported,
                 fmt::format("'{}' would change what templates may only read", name));
}

value call_method(rendering& r, const value& self, std::string_view name, const call_values& with) {
  if (const auto* const loop = self.get<std::shared_ptr<loop_state>>()) {
    return call_loop_method(r, **loop, name, with);
  }
  constexpr std::array<std::string_view, 4> get_parameters{"key", "default", "", ""};
  constexpr std::array<std::string_view, 4> text_parameters{"sep", "maxsplit", "count", ""};
  const bool dict = self.as_dict() != nullptr;
  const auto values = r.bind(name, with, dict ? get_parameters : text_parameters);
  if (!values) {
    return {};
  }
  if (dict) {
    return call_dict_method(r, *self.as_dict(), name, *values);
  }
  if (const marked_text* const text = self.as_text()) {
    return r.charge(1 + text->size() / 32) ? call_text_method(r, *text, name, *values) : value{};
  }
  if (const list_value* const list = self.as_list();
      list != nullptr && r.charge(list->items.size())) {
    if (name == "count") {
      return value{static_cast<std::int64_t>(
          std::count(list->items.begin(), list->items.end(), (*values)[0]))};
    }
    if (name == "index") {
      const auto at = std::find(list->items.begin(), list->items.end(), (*values)[0]);
      return at == list->items.end() ? r.wrong(errc::malformed, "'index' does not find its value")
                                     : value{static_cast<std::int64_t>(at - list->items.begin())};
    }
  }
  return r.wrong(errc::unsupported,
                 fmt::format("'{}' would change what templates may only read", name));
}

} // namespace ovir::templates
