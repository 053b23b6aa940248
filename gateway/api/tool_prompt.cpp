#include "gateway/api/tool_prompt.hpp"

#include "compute/text/constraint.hpp"
#include "gateway/http/bounded_json.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ovir::gateway {

namespace {

std::string described(const completion_request& request) {
  return fmt::format("You may call functions. These are there, one JSON object per line:\n{}"
                     "To call one, answer with\n{}\n",
                     request.tools_text, written_call("NAME", "{ARGUMENTS}"));
}

} // namespace

std::string joined(const std::string& first, const std::string& second) {
  return first.empty() || second.empty() ? first + second : first + "\n\n" + second;
}

bool uses_tools(const completion_request& request) {
  return !request.tools_text.empty() ||
         std::any_of(request.messages.begin(), request.messages.end(),
                     [](const chat_message& m) { return m.role == "tool" || !m.calls.empty(); });
}

std::string written_call(const std::string& name, const std::string& arguments) {
  return fmt::format("{}{{\"name\": {}, \"arguments\": {}}}{}", compute::tool_call_open,
                     json(name).dump(), arguments, compute::tool_call_close);
}

std::vector<chat_message> without_tools(const completion_request& request, bool in_system) {
  std::vector<chat_message> out;
  bool results = false; // the last one is of tools, whose results are told together
  for (const chat_message& m : request.messages) {
    if (m.role == "tool") {
      const std::string text = fmt::format("<tool_response>\n{}\n</tool_response>", m.content);
      if (results) {
        out.back().content += "\n" + text;
      } else {
        out.push_back({"user", text, {}, {}});
      }
      results = true;
      continue;
    }
    results = false;
    chat_message plain{m.role, m.content, {}, {}};
    for (const chat_call& call : m.calls) {
      const std::string text = written_call(call.name, call.arguments);
      plain.content += plain.content.empty() ? text : "\n" + text;
    }
    out.push_back(std::move(plain));
  }
  if (request.tools_text.empty()) {
    return out;
  }
  const std::string text = described(request);
  const std::string_view role = in_system ? "system" : "user";
  const auto place =
      in_system ? out.begin() : std::find_if(out.begin(), out.end(), [](const chat_message& m) {
        return m.role == "user";
      });
  if (place != out.end() && place->role == role) {
    place->content = in_system ? joined(place->content, text) : joined(text, place->content);
  } else {
    out.insert(out.begin(), {std::string{role}, text, {}, {}});
  }
  return out;
}

} // namespace ovir::gateway
