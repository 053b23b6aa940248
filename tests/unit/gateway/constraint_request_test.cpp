#include "compute/text/constraint.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/api/tool_prompt.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::gateway {
namespace {

std::string body(const std::string& parameters) {
  return fmt::format(R"({{"model": "m", "messages": [{{"role": "user", "content": "x"}}], {}}})",
                     parameters);
}

completion_request accepted(const std::string& parameters) {
  const auto out = parse_completion(api_kind::chat, body(parameters));
  if (const auto* const e = std::get_if<api_error>(&out)) {
    ADD_FAILURE() << parameters << ": " << e->message;
    return {};
  }
  const auto& r = std::get<completion_request>(out);
  if (!r.constraint.empty()) {
    const auto made = compute::constraint::make(compute::constraint_text(100, r.constraint));
    EXPECT_TRUE(made) << r.constraint << made.error().message;
  }
  return r;
}

std::string refused(const std::string& parameters) {
  const auto out = parse_completion(api_kind::chat, body(parameters));
  const auto* const e = std::get_if<api_error>(&out);
  EXPECT_TRUE(e != nullptr) << parameters;
  return e == nullptr ? "" : e->param;
}

constexpr auto one_tool =
    R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object",
       "properties": {"b": {"type": "null"}, "a": {"type": "null"}}}}}])";

TEST(constraint_request, formats_become_constraints) {
  EXPECT_EQ(accepted(R"("response_format": {"type": "json_object"})").constraint,
            R"("json":"object")");
  const auto r = accepted(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n",
      "strict": false, "schema": {"type": "object", "properties": {"b": {}, "a": {}}}}})");
  EXPECT_EQ(r.constraint, R"("schema":{"type":"object","properties":{"b":{},"a":{}}})");
  EXPECT_EQ(r.constraint_of, "response_format");
}

TEST(constraint_request, tools_become_constraints_in_the_order_they_came_in) {
  const auto free = accepted(one_tool);
  EXPECT_EQ(free.constraint,
            R"("needed":false,"calls":8,"tools":[{"name":"f","parameters":{"type":)"
            R"("object","properties":{"b":{"type":"null"},"a":{"type":"null"}}}}])");
  EXPECT_THAT(free.tools_text, testing::HasSubstr(R"("name":"f")"));
  const std::string tool = one_tool;
  EXPECT_THAT(
      accepted(tool + R"(, "tool_choice": "required", "parallel_tool_calls": false)").constraint,
      testing::StartsWith(R"("needed":true,"calls":1,)"));
  EXPECT_EQ(accepted(tool + R"(, "tool_choice": "none")").constraint, "");
  const auto named = accepted(R"("tools": [{"type": "function", "function": {"name": "f"}},
      {"type": "function", "function": {"name": "g"}}],
      "tool_choice": {"type": "function", "function": {"name": "g"}})");
  EXPECT_THAT(named.constraint, testing::HasSubstr(R"("tools":[{"name":"g",)"));
  EXPECT_THAT(named.tools_text, testing::HasSubstr(R"("name":"f")"));
}

TEST(constraint_request, what_is_wrong_is_named) {
  const std::string tool = one_tool;
  EXPECT_EQ(refused(R"("response_format": {"type": "xml"})"), "response_format");
  EXPECT_EQ(refused(R"("response_format": {"type": "json_object", "x": 1})"), "response_format");
  EXPECT_EQ(refused(R"("response_format": {"type": "json_schema", "json_schema": {"schema": {}}})"),
            "response_format.json_schema.name");
  EXPECT_EQ(refused(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n"}})"),
            "response_format.json_schema.schema");
  EXPECT_EQ(refused(R"("tools": {"type": "function"})"), "tools");
  EXPECT_EQ(refused(R"("tools": [{"type": "function"}])"), "tools[0]");
  EXPECT_EQ(refused(R"("tools": [{"type": "function", "function": {"name": "f", "x": 1}}])"),
            "tools[0].function.x");
  EXPECT_EQ(refused(tool + R"(, "tool_choice": "sometimes")"), "tool_choice");
  EXPECT_EQ(refused(tool + R"(, "tool_choice": {"type": "function", "function": {"name": "g"}})"),
            "tool_choice");
  EXPECT_EQ(refused(R"("tool_choice": "required")"), "tool_choice");
  EXPECT_EQ(refused(tool + R"(, "response_format": {"type": "json_object"})"), "response_format");
}

TEST(constraint_request, tools_stand_in_the_conversation) {
  completion_request r = accepted(one_tool);
  r.messages = {{"user", "hello", {}, {}},
                {"assistant", "", {{"call_1", "f", R"({"a":null})"}}, {}},
                {"tool", "done", {}, "call_1"},
                {"tool", "more", {}, "call_2"}};
  const auto with_system = without_tools(r, true);
  ASSERT_EQ(with_system.size(), 4U);
  EXPECT_EQ(with_system[0].role, "system");
  EXPECT_THAT(with_system[0].content, testing::HasSubstr(R"("name":"f")"));
  EXPECT_EQ(with_system[2].content,
            "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\":null}}\n</tool_call>");
  EXPECT_EQ(with_system[3].role, "user");
  EXPECT_EQ(with_system[3].content, "<tool_response>\ndone\n</tool_response>\n"
                                    "<tool_response>\nmore\n</tool_response>");
  const auto without = without_tools(r, false);
  ASSERT_EQ(without.size(), 3U);
  EXPECT_EQ(without[0].role, "user");
  EXPECT_THAT(without[0].content, testing::EndsWith("hello"));
}

} // namespace
} // namespace ovir::gateway
