#include "compute/text/constraint.hpp"

#include "compute/text/schema_rules.hpp"
#include "messages/limits/constraint.hpp"
#include "messages/limits/general.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace ovir::compute {

namespace {

error malformed(std::string_view what) { return fail(errc::malformed, "a constraint: {}", what); }

bool is_tool_name(const ordered_json& name) {
  if (!name.is_string()) {
    return false;
  }
  const auto& text = name.get_ref<const std::string&>();
  return !text.empty() && text.size() <= limits::constraint_name_bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-';
         });
}

/// Text without a tool call, as far as it goes: every state ends it. Returns where a call is begun.
state_index free_text(byte_automaton& out, state_index from, state_index end) {
  const std::string_view trigger = tool_call_trigger;
  // States of having read the first 0, 1, ... bytes of the trigger.
  std::vector<state_index> read{from};
  while (read.size() <= trigger.size()) {
    read.push_back(out.add_state());
  }
  const auto longest = [&](std::string_view text) {
    std::size_t n = std::min(text.size(), trigger.size());
    while (!text.ends_with(trigger.substr(0, n))) {
      --n;
    }
    return n;
  };
  for (std::size_t n = 0; n < trigger.size(); ++n) {
    out.skip(read[n], end);
    const std::string before{trigger.substr(0, n)};
    std::set<unsigned> told;
    for (const char c : trigger) {
      const auto byte = static_cast<std::uint8_t>(c);
      if (told.insert(byte).second) {
        out.bytes(read[n], byte, byte, read[longest(before + c)]);
      }
    }
    unsigned low = 0;
    for (const unsigned byte : told) {
      if (low < byte) {
        out.bytes(read[n], static_cast<std::uint8_t>(low), static_cast<std::uint8_t>(byte - 1),
                  read[0]);
      }
      low = byte + 1;
    }
    out.bytes(read[n], static_cast<std::uint8_t>(low), 0xFF, read[0]);
  }
  return read.back();
}

result<void> build_tools(byte_automaton& out, json_rules& parts, const ordered_json& spec,
                         rule_index whole) {
  const ordered_json& tools = spec["tools"];
  const ordered_json& calls = spec["calls"];
  const ordered_json& needed = spec["needed"];
  if (!tools.is_array() || tools.empty() || tools.size() > limits::constraint_tools_max ||
      !calls.is_number_unsigned() || calls.get<std::uint64_t>() < 1 ||
      calls.get<std::uint64_t>() > limits::constraint_calls_max || !needed.is_boolean()) {
    return malformed(fmt::format("tools need 'needed', 'calls' of 1 to {} and 1 to {} 'tools'",
                                 limits::constraint_calls_max, limits::constraint_tools_max));
  }
  const rule_index body = out.add_rule(); // from the name to the brace behind the arguments
  std::set<std::string> names;
  for (const ordered_json& tool : tools) {
    if (!tool.is_object() || tool.size() != 2 || !tool.contains("parameters") ||
        !tool.contains("name") || !is_tool_name(tool["name"]) ||
        !names.insert(tool["name"].get<std::string>()).second) {
      return malformed("a tool has a 'name' of its own, of letters, digits, '_' and '-', and "
                       "'parameters'");
    }
    schema_rules schema{out, parts, tool["parameters"]};
    OVIR_ASSIGN(const rule_index arguments, schema.whole());
    const auto [first, last] = out.rules[body];
    const state_index before =
        out.literal(first, fmt::format(R"({{"name": {}, "arguments": )", tool["name"].dump()));
    const state_index behind = out.add_state();
    out.call(before, arguments, behind);
    out.byte(behind, '}', last);
  }
  const auto [first, last] = out.rules[whole];
  // Every call ends the text, or is followed by another one.
  const auto count = calls.get<std::uint64_t>();
  state_index begun =
      needed.get<bool>() ? out.literal(first, tool_call_trigger) : free_text(out, first, last);
  for (std::uint64_t i = 0; i < count; ++i) {
    const state_index inside = out.literal(begun, tool_call_open.substr(tool_call_trigger.size()));
    const state_index behind = out.add_state();
    out.call(inside, body, behind);
    const state_index closed = out.literal(behind, tool_call_close);
    out.skip(closed, last);
    if (i + 1 < count) {
      begun = out.literal(out.literal(closed, "\n"), tool_call_trigger);
    }
  }
  return {};
}

result<void> build(byte_automaton& out, const ordered_json& spec) {
  json_rules parts{out};
  const rule_index whole = out.add_rule();
  const auto members = [&](std::initializer_list<std::string_view> known) {
    return spec.size() == known.size() &&
           std::all_of(known.begin(), known.end(),
                       [&](std::string_view key) { return spec.contains(key); });
  };
  const auto spaced_call = [&](rule_index value) {
    const auto [first, last] = out.rules[whole];
    const state_index before = out.add_state();
    parts.white_space(first, before);
    out.call(before, value, last);
  };
  if (members({"tokens", "json"}) && spec["json"] == "object") {
    spaced_call(parts.any_object());
    return {};
  }
  if (members({"tokens", "schema"})) {
    schema_rules schema{out, parts, spec["schema"]};
    OVIR_ASSIGN(const rule_index value, schema.whole());
    spaced_call(value);
    return {};
  }
  if (members({"tokens", "needed", "calls", "tools"})) {
    return build_tools(out, parts, spec, whole);
  }
  return malformed("it has 'tokens' and either 'json', 'schema' or 'tools'");
}

} // namespace

result<std::shared_ptr<const constraint>> constraint::make(std::string_view text) {
  if (text.size() > limits::constraint_bytes_max) {
    return fail(errc::over_limit, "a constraint has {} bytes; at most {} are allowed", text.size(),
                limits::constraint_bytes_max);
  }
  const ordered_json spec = ordered_json::parse(text, nullptr, false);
  // One text for one meaning: it is part of what is signed.
  if (!spec.is_object() ||
      spec.dump(-1, ' ', false, ordered_json::error_handler_t::replace) != text) {
    return malformed("it is not a JSON object in its shortest form");
  }
  const auto tokens = spec.find("tokens");
  if (tokens == spec.end() || !tokens->is_number_unsigned() || tokens->get<std::uint64_t>() < 1 ||
      tokens->get<std::uint64_t>() > limits::context_max) {
    return malformed(fmt::format("'tokens' must be 1 to {}", limits::context_max));
  }
  std::shared_ptr<constraint> made{new constraint};
  made->tokens_ = tokens->get<std::uint32_t>();
  OVIR_TRY(build(made->automaton_, spec));
  if (made->automaton_.states.size() > limits::constraint_states_max) {
    return fail(errc::over_limit, "a constraint needs more than {} states; make its schema smaller",
                limits::constraint_states_max);
  }
  if (made->automaton_.is_left_recursive()) {
    return fail(errc::unsupported, "the schema refers to itself with nothing in between");
  }
  return std::shared_ptr<const constraint>{std::move(made)};
}

std::string constraint_text(std::uint32_t tokens, std::string_view body) {
  return fmt::format(R"({{"tokens":{},{}}})", tokens, body);
}

} // namespace ovir::compute
