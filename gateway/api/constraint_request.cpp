#include "gateway/api/constraint_request.hpp"

#include "messages/limits/constraint.hpp"
#include "messages/limits/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::gateway {

namespace {

using ordered = nlohmann::ordered_json;

std::string text_of(const ordered& value) {
  return value.dump(-1, ' ', false, ordered::error_handler_t::replace);
}

struct tool_set {
  ordered tools = ordered::array(); ///< name and parameters
  std::string text;                 ///< for the prompt, a line for each
};

/// One of `tools`. `asked` as it came.
void read_tool(parameters& all, const json& value, const ordered& asked, std::size_t i,
               tool_set& out) {
  const std::string where = fmt::format("tools[{}]", i);
  const auto refuse = [&](std::string_view what) {
    all.refuse(bad_parameter(where, fmt::format("'{}' {}", where, what)));
  };
  if (!value.is_object() || value.value("type", json{}) != "function" || value.size() != 2 ||
      !value.contains("function") || !value["function"].is_object()) {
    return refuse("must be {\"type\": \"function\", \"function\": {...}}");
  }
  parameters in{value["function"], where + ".function."};
  const std::string name = in.text("name", limits::constraint_name_bytes_max);
  static_cast<void>(in.text("description", limits::http_body_bytes_max, ""));
  static_cast<void>(in.boolean("strict", true)); // kept to either way
  const json& schema = in.raw("parameters");
  if (!schema.is_null() && !schema.is_object()) {
    in.refuse("parameters", "must be a JSON schema");
  }
  in.done();
  if (in.failure()) {
    all.refuse(*in.failure());
    return;
  }
  const ordered& function = asked["tools"][i]["function"];
  ordered parameters_asked = schema.is_null() ? ordered{{"type", "object"},
                                                        {"properties", ordered::object()},
                                                        {"additionalProperties", false}}
                                              : function["parameters"];
  out.text += text_of(function) + "\n";
  out.tools.push_back(ordered{{"name", name}, {"parameters", std::move(parameters_asked)}});
}

/// Leaves the tool that is named; false where there is none.
bool keep_only(tool_set& set, const std::string& name) {
  const auto found = std::find_if(set.tools.begin(), set.tools.end(),
                                  [&](const ordered& tool) { return tool["name"] == name; });
  if (found == set.tools.end()) {
    return false;
  }
  set.tools = ordered::array({*found});
  return true;
}

enum class choice : std::uint8_t { none, free, needed };

choice read_choice(parameters& in, tool_set& set) {
  const json& value = in.raw("tool_choice");
  if (value.is_null() || value == "auto") {
    return choice::free;
  }
  if (value == "none") {
    return choice::none;
  }
  if (value == "required") {
    return choice::needed;
  }
  constexpr std::string_view form = "must be none, auto, required or {\"type\": \"function\", "
                                    "\"function\": {\"name\": ...}} with one of 'tools'";
  if (!value.is_object() || value.value("type", json{}) != "function" || value.size() != 2 ||
      !value.contains("function") || !value["function"].is_object() ||
      value["function"].size() != 1 || !value["function"].value("name", json{}).is_string() ||
      !keep_only(set, value["function"]["name"].get<std::string>())) {
    in.refuse("tool_choice", std::string{form});
  }
  return choice::needed;
}

void read_tools(parameters& in, const ordered& asked, completion_request& out) {
  const json& list = in.raw("tools");
  const bool parallel = in.boolean("parallel_tool_calls", true);
  if (list.is_null() || (list.is_array() && list.empty())) {
    in.only_one_of("tool_choice", {"none", "auto"}, "there are no 'tools'");
    return;
  }
  if (!list.is_array() || list.size() > limits::constraint_tools_max) {
    in.refuse("tools",
              fmt::format("must be a list of at most {} tools", limits::constraint_tools_max));
    return;
  }
  tool_set set;
  for (std::size_t i = 0; i < list.size() && !in.failure(); ++i) {
    read_tool(in, list[i], asked, i, set);
  }
  if (in.failure()) {
    return;
  }
  const std::string text = set.text;
  const choice chosen = read_choice(in, set);
  if (chosen == choice::none || in.failure()) {
    return;
  }
  out.tools_text = text;
  out.constraint_of = "tools";
  out.constraint = fmt::format(R"("needed":{},"calls":{},"tools":{})", chosen == choice::needed,
                               parallel ? limits::constraint_calls_max : 1, text_of(set.tools));
}

void read_format(parameters& in, const ordered& asked, completion_request& out) {
  const json& format = in.raw("response_format");
  if (format.is_null()) {
    return;
  }
  const std::string type =
      format.is_object() && format.contains("type") && format["type"].is_string()
          ? format["type"].get<std::string>()
          : "";
  if (type == "text" && format.size() == 1) {
    return;
  }
  std::string constraint;
  if (type == "json_object" && format.size() == 1) {
    constraint = R"("json":"object")";
  } else if (type == "json_schema" && format.size() == 2 && format.contains("json_schema") &&
             format["json_schema"].is_object()) {
    parameters inner{format["json_schema"], "response_format.json_schema."};
    static_cast<void>(inner.text("name", limits::api_name_bytes_max));
    static_cast<void>(inner.text("description", limits::http_body_bytes_max, ""));
    static_cast<void>(inner.boolean("strict", true)); // kept to either way
    if (!inner.raw("schema").is_object()) {
      inner.refuse("schema", "must be a JSON schema");
    }
    inner.done();
    if (inner.failure()) {
      in.refuse(*inner.failure());
      return;
    }
    constraint =
        fmt::format(R"("schema":{})", text_of(asked["response_format"]["json_schema"]["schema"]));
  } else {
    in.refuse("response_format", "must be {\"type\": \"text\"}, {\"type\": \"json_object\"} or "
                                 "{\"type\": \"json_schema\", \"json_schema\": {...}}");
    return;
  }
  if (!out.constraint.empty()) {
    in.refuse("response_format", "cannot be kept beside 'tools' that may be called; set "
                                 "'tool_choice' to \"none\"");
    return;
  }
  out.constraint_of = "response_format";
  out.constraint = std::move(constraint);
}

} // namespace

void read_constraint(parameters& in, std::string_view body, completion_request& out) {
  const bool asks = in.has("tools") || in.has("response_format");
  const ordered asked = asks ? ordered::parse(body, nullptr, false) : ordered{};
  if (out.kind == api_kind::chat) {
    read_tools(in, asked, out);
  } else {
    in.only_empty("tools", "tools are of chats");
    in.only_one_of("tool_choice", {"none", "auto"}, "tools are of chats");
  }
  read_format(in, asked, out);
}

} // namespace ovir::gateway
