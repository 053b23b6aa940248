#include "templates/rendering.hpp"

#include "compute/base/utf8.hpp"
#include "messages/limits/templates.hpp"

#include <algorithm>
#include <utility>

namespace ovir::templates {

// Namespaces can hold themselves.
rendering::~rendering() {
  for (const auto& space : namespaces_) {
    space->members.items.clear();
  }
}

value rendering::wrong(errc code, std::string text) {
  if (!failed_) {
    failed_ = code == errc::invalid_argument
                  ? error{code, std::move(text)}
                  : fail(code, "line {} of the chat template: {}", line_, text);
  }
  return {};
}

bool rendering::charge(std::uint64_t steps, std::uint64_t bytes) {
  steps_ += steps;
  bytes_ += bytes;
  if (steps_ > limits::template_steps_max) {
    wrong(errc::over_limit, fmt::format("rendering takes more than {} steps; a template that "
                                        "loops without end, or a very long conversation",
                                        limits::template_steps_max));
  } else if (bytes_ > limits::template_bytes_made_max) {
    wrong(errc::over_limit, fmt::format("rendering makes more than {} bytes of text and lists",
                                        limits::template_bytes_made_max));
  }
  return !failed();
}

value rendering::made(marked_text text) {
  if (text.size() > limits::template_output_max) {
    return wrong(errc::over_limit,
                 fmt::format("a text becomes longer than {} bytes", limits::template_output_max));
  }
  return charge(0, text.size()) ? value{std::move(text)} : value{};
}

value rendering::made_list(std::vector<value> items, bool tuple) {
  if (!charge(items.size() / 8, items.size() * sizeof(value))) {
    return {};
  }
  value out = value::list(std::move(items), tuple);
  if (out.depth() > limits::template_value_depth_max ||
      out.weight() > limits::template_value_weight_max) {
    return wrong(errc::over_limit, "a list becomes too deep or too large");
  }
  return out;
}

value rendering::made_dict(dict_value members) {
  if (!charge(members.items.size() / 8, members.items.size() * 2 * sizeof(value))) {
    return {};
  }
  value out = value::dict(std::move(members));
  if (out.depth() > limits::template_value_depth_max ||
      out.weight() > limits::template_value_weight_max) {
    return wrong(errc::over_limit, "a dictionary becomes too deep or too large");
  }
  return out;
}

value rendering::made_namespace(dict_value members) {
  if (!charge(1, members.items.size() * 2 * sizeof(value) + sizeof(namespace_value))) {
    return {};
  }
  namespaces_.push_back(std::make_shared<namespace_value>(namespace_value{std::move(members)}));
  return value{value::state{namespaces_.back()}};
}

marked_text rendering::text_of(const value& v) {
  if (!charge(v.weight() / 64, v.weight())) {
    return {};
  }
  auto text = str_of(v);
  if (!text) {
    wrong(errc::unsupported, fmt::format("a {} cannot be written as text", v.kind()));
    return {};
  }
  return std::move(*text);
}

std::vector<value> rendering::characters_of(const marked_text& text) {
  std::vector<value> out;
  if (!charge(text.size() / 4, text.size() * sizeof(value))) {
    return out;
  }
  for (std::size_t at = 0; at < text.size();) {
    const auto step = compute::read_utf8(std::string_view{text.bytes()}.substr(at));
    out.emplace_back(text.part(at, step.bytes));
    at += step.bytes;
  }
  return out;
}

std::vector<value> rendering::items_of(const value& v) {
  if (const auto* const list = v.as_list()) {
    return charge(list->items.size() / 8, list->items.size() * sizeof(value))
               ? list->items
               : std::vector<value>{};
  }
  if (const auto* const dict = v.as_dict()) {
    std::vector<value> keys;
    if (charge(dict->items.size() / 8, dict->items.size() * sizeof(value))) {
      for (const auto& [key, member] : dict->items) {
        keys.push_back(key);
      }
    }
    return keys;
  }
  if (const auto* const text = v.as_text()) {
    return characters_of(*text);
  }
  if (!v.is_undefined()) {
    wrong(errc::malformed, fmt::format("a {} is nothing to go through", v.kind()));
  }
  return {};
}

std::optional<bound> rendering::bind(std::string_view what, const call_values& with,
                                     std::span<const std::string_view> parameters) {
  bound out{};
  if (with.plain.size() > parameters.size() ||
      (!with.plain.empty() && parameters[with.plain.size() - 1].empty())) {
    wrong(errc::malformed, fmt::format("'{}' is given too many arguments", what));
    return std::nullopt;
  }
  std::copy(with.plain.begin(), with.plain.end(), out.begin());
  for (const auto& [name, v] : with.named) {
    const auto at = std::find(parameters.begin(), parameters.end(), name);
    if (at == parameters.end() ||
        static_cast<std::size_t>(at - parameters.begin()) < with.plain.size()) {
      wrong(errc::malformed, fmt::format("'{}' has no argument '{}' there", what, name));
      return std::nullopt;
    }
    out[static_cast<std::size_t>(at - parameters.begin())] = v;
  }
  return out;
}

std::int64_t rendering::integer_or(const value& v, std::int64_t otherwise) {
  if (v.is_undefined() || v.is_none()) {
    return otherwise;
  }
  const auto i = v.as_integer();
  if (!i) {
    wrong(errc::malformed, fmt::format("a whole number is needed, this is a {}", v.kind()));
  }
  return i.value_or(otherwise);
}

} // namespace ovir::templates
