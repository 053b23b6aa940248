#include "gateway/api/tool_values.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace ovir::gateway {

namespace {

using ordered = nlohmann::ordered_json;
using templates::dict_value;
using templates::value;

value number_value(const ordered& number) {
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  const bool whole = number.is_number_integer() &&
                     (!number.is_number_unsigned() || number.get<std::uint64_t>() <= most);
  return whole ? value{number.get<std::int64_t>()} : value{number.get<double>()};
}

/// The depth is that of a body, which is bounded where it is read.
value value_of(const ordered& document) {
  switch (document.type()) {
  case ordered::value_t::boolean: return value{document.get<bool>()};
  case ordered::value_t::number_integer:
  case ordered::value_t::number_unsigned:
  case ordered::value_t::number_float: return number_value(document);
  case ordered::value_t::string: return value::outside(document.get_ref<const std::string&>());
  case ordered::value_t::array: {
    std::vector<value> items;
    for (const ordered& item : document) {
      items.push_back(value_of(item));
    }
    return value::list(std::move(items));
  }
  case ordered::value_t::object: {
    dict_value members;
    for (const auto& [key, member] : document.items()) {
      members.set(value::outside(key), value_of(member));
    }
    return value::dict(std::move(members));
  }
  default: return value{templates::none{}};
  }
}

value call_value(const chat_call& call) {
  const ordered arguments = ordered::parse(call.arguments, nullptr, false);
  dict_value function;
  function.set(value::text("name"), value::outside(call.name));
  function.set(value::text("arguments"),
               arguments.is_discarded() ? value::outside(call.arguments) : value_of(arguments));
  dict_value out;
  out.set(value::text("id"), value::outside(call.id));
  out.set(value::text("type"), value::text("function"));
  out.set(value::text("function"), value::dict(std::move(function)));
  return value::dict(std::move(out));
}

/// The name of the function whose call this id is; empty where nobody made it.
std::string called_name(std::span<const chat_message> messages, const std::string& id) {
  for (const chat_message& m : messages) {
    for (const chat_call& call : m.calls) {
      if (call.id == id) {
        return call.name;
      }
    }
  }
  return {};
}

} // namespace

value conversation_value(std::span<const chat_message> messages) {
  std::vector<value> said;
  for (const chat_message& m : messages) {
    dict_value members;
    members.set(value::text("role"), value::text(m.role));
    members.set(value::text("content"), value::outside(m.content));
    if (!m.calls.empty()) {
      std::vector<value> calls;
      for (const chat_call& call : m.calls) {
        calls.push_back(call_value(call));
      }
      members.set(value::text("tool_calls"), value::list(std::move(calls)));
    }
    if (!m.answers.empty()) {
      members.set(value::text("tool_call_id"), value::outside(m.answers));
      members.set(value::text("name"), value::outside(called_name(messages, m.answers)));
    }
    said.push_back(value::dict(std::move(members)));
  }
  return value::list(std::move(said));
}

value tools_value(std::string_view tools_text) {
  std::vector<value> tools;
  while (!tools_text.empty()) {
    const std::string_view line = tools_text.substr(0, tools_text.find('\n'));
    tools_text.remove_prefix(std::min(tools_text.size(), line.size() + 1));
    dict_value tool;
    tool.set(value::text("type"), value::text("function"));
    tool.set(value::text("function"), value_of(ordered::parse(line, nullptr, false)));
    tools.push_back(value::dict(std::move(tool)));
  }
  return tools.empty() ? value{templates::none{}} : value::list(std::move(tools));
}

} // namespace ovir::gateway
