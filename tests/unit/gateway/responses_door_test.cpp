#include "gateway/doors/responses_request.hpp"
#include "gateway/http/bounded_json.hpp"
#include "gateway/http/event_id.hpp"
#include "messages/limits/gateway.hpp"
#include "tests/unit/gateway/door_endpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <fstream>

namespace ovir::gateway {
namespace {

using testing::HasSubstr;

responses_request read_responses_body(const std::string& body,
                                      const answer_shelf::owned& kept = {}) {
  auto out = read_responses(body, limits::api_deadline_max, kept);
  if (const auto* const refused = std::get_if<api_error>(&out)) {
    ADD_FAILURE() << refused->message;
    return {};
  }
  return std::get<responses_request>(std::move(out));
}

/// The parameter that a body is refused for.
std::string responses_fault(const std::string& body, const answer_shelf::owned& kept = {}) {
  const auto out = read_responses(body, limits::api_deadline_max, kept);
  const auto* const refused = std::get_if<api_error>(&out);
  if (refused == nullptr) {
    return "accepted";
  }
  EXPECT_EQ(refused->status, 400) << body;
  EXPECT_FALSE(refused->message.empty());
  return refused->param;
}

std::string responses_body(const std::string& more) {
  return R"({"model": "m", "input": "Hi")" + (more.empty() ? "" : ", " + more) + "}";
}

std::string with_items(const std::string& items) {
  return R"({"model": "m", "input": [)" + items + "]}";
}

TEST(responses_request, reads_what_a_client_may_ask) {
  const auto r = read_responses_body(responses_body(
      R"("instructions": "Be kind.", "max_output_tokens": 9, "temperature": 0.5, "top_p": 0.9,
         "stream": true, "store": false, "metadata": {"a": "b"}, "user": "u", "truncation": null,
         "include": ["reasoning.encrypted_content"], "reasoning": {"effort": null},
         "service_tier": "auto", "parallel_tool_calls": true, "text": {"verbosity": "medium"},
         "presence_penalty": 1, "frequency_penalty": -1, "min_tokens": 2, "logit_bias": {"7": 3},
         "stream_options": {"include_obfuscation": false}, "seed": 4)"));
  EXPECT_EQ(r.asked.messages, (std::vector<chat_message>{{"system", "Be kind."}, {"user", "Hi"}}));
  EXPECT_EQ(r.asked.max_tokens, 9U);
  EXPECT_EQ(r.asked.asked.sampling.temperature, 0.5F);
  EXPECT_EQ(r.asked.asked.sampling.presence_penalty, 1.0F);
  EXPECT_EQ(r.asked.asked.sampling.frequency_penalty, -1.0F);
  EXPECT_EQ(r.asked.asked.sampling.min_tokens, 2U);
  EXPECT_EQ(r.asked.asked.sampling.logit_bias, (std::vector<token_bias>{{7, 3.0F}}));
  EXPECT_TRUE(r.asked.stream);
  EXPECT_FALSE(r.store);
  EXPECT_EQ(r.echo["instructions"], "Be kind.");
  EXPECT_EQ(r.echo["metadata"], (json{{"a", "b"}}));
  EXPECT_EQ(r.conversation.size(), 1U) << "instructions are of one response";
}

TEST(responses_request, items_become_messages_calls_and_results) {
  const auto r = read_responses_body(with_items(R"(
    {"role": "developer", "content": "Be kind."},
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Moo?"}]},
    {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
     "content": [{"type": "output_text", "text": "I ask.", "annotations": [], "logprobs": []}]},
    {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": "{}",
     "status": "completed"},
    {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c2", "output": "of g"},
    {"type": "function_call_output", "call_id": "c1",
     "output": [{"type": "input_text", "text": "of f"}]})"));
  ASSERT_EQ(r.asked.messages.size(), 5U);
  EXPECT_EQ(r.asked.messages[0], (chat_message{"system", "Be kind."}));
  EXPECT_EQ(r.asked.messages[2].content, "I ask.");
  EXPECT_EQ(r.asked.messages[2].calls,
            (std::vector<chat_call>{{"c1", "f", "{}"}, {"c2", "g", "{}"}}));
  EXPECT_EQ(r.asked.messages[3], (chat_message{"tool", "of g", {}, "c2"}));
  EXPECT_EQ(r.asked.messages[4], (chat_message{"tool", "of f", {}, "c1"}));
}

TEST(responses_request, refuses_forged_and_repeated_ids_of_calls) {
  const std::string call =
      R"({"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"})";
  const std::string output = R"({"type": "function_call_output", "call_id": "c1", "output": "x"})";
  EXPECT_EQ(responses_fault(with_items(call + "," + output)), "accepted");
  EXPECT_EQ(responses_fault(with_items(output)), "input[0].call_id");
  EXPECT_EQ(responses_fault(with_items(call + "," + output + "," + output)), "input[2].call_id");
  EXPECT_EQ(responses_fault(with_items(call + "," + call)), "input[1].call_id");
}

TEST(responses_request, goes_on_with_a_kept_response_and_no_other) {
  const request_id id{0xb7};
  answer_shelf::owned kept;
  kept[id] = std::make_shared<const kept_answer>(kept_answer{
      "{}", R"([{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c1",
               "type":"function","function":{"name":"f","arguments":"{}"}}]}])"});
  const std::string named = R"(, "previous_response_id": ")" + response_name(id) + "\"}";
  const std::string output =
      R"({"model": "m", "input": [{"type": "function_call_output", "call_id": "c1",
          "output": "x"}])";
  const auto r = read_responses_body(output + named, kept);
  ASSERT_EQ(r.asked.messages.size(), 3U);
  EXPECT_EQ(r.asked.messages[2], (chat_message{"tool", "x", {}, "c1"}));
  EXPECT_EQ(r.echo["previous_response_id"], response_name(id));
  EXPECT_EQ(responses_fault(output + named), "previous_response_id");
  for (const std::string forged : {"resp_", "resp_00000000000000b8", "b7", "resp_zz", ""}) {
    EXPECT_EQ(responses_fault(responses_body(R"("previous_response_id": ")" + forged + "\""), kept),
              "previous_response_id")
        << forged;
  }
}

TEST(responses_request, tools_and_formats_become_constraints) {
  const std::string tools = R"("tools": [{"type": "function", "name": "f", "strict": true,
      "description": "d", "parameters": {"type": "object"}}])";
  EXPECT_EQ(read_responses_body(responses_body(tools)).asked.constraint_of, "tools");
  EXPECT_THAT(read_responses_body(responses_body(tools + R"(, "tool_choice": {"type": "function",
                                                                   "name": "f"})"))
                  .asked.constraint,
              HasSubstr(R"("needed":true)"));
  EXPECT_EQ(
      read_responses_body(responses_body(tools + R"(, "tool_choice": "none")")).asked.constraint,
      "");
  const auto r = read_responses_body(responses_body(
      R"("text": {"format": {"type": "json_schema", "name": "n", "strict": true,
                             "schema": {"type": "object"}}})"));
  EXPECT_EQ(r.asked.constraint, R"("schema":{"type":"object"})");
  EXPECT_EQ(r.asked.constraint_of, "text.format");
  EXPECT_EQ(read_responses_body(responses_body(R"("text": {"format": {"type": "text"}})"))
                .asked.constraint,
            "");
}

TEST(responses_request, refuses_by_name_what_cannot_be_honoured) {
  for (const auto& [more, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("reasoning": {"effort": "high"})", "reasoning"},
           {R"("truncation": "auto")", "truncation"},
           {R"("background": true)", "background"},
           {R"("conversation": "conv_1")", "conversation"},
           {R"("include": ["message.output_text.logprobs"])", "include"},
           {R"("max_output_tokens": 0)", "max_output_tokens"},
           {R"("temperature": 3)", "temperature"},
           {R"("tools": [{"type": "web_search"}])", "tools[0].type"},
           {R"("tool_choice": "required")", "tool_choice"},
           {R"("text": {"format": {"type": "xml"}})", "text.format"},
           {R"("service_tier": "priority")", "service_tier"},
           {R"("store": 1)", "store"},
           {R"("mood": 1)", "mood"}}) {
    EXPECT_EQ(responses_fault(responses_body(more)), param);
  }
  EXPECT_EQ(responses_fault(R"({"model": "m"})"), "input");
  EXPECT_EQ(responses_fault(with_items(R"({"type": "item_reference", "id": "x"})")),
            "input[0].type");
  EXPECT_EQ(responses_fault(with_items(R"({"role": "user", "content": [{"type": "input_image",
                                           "image_url": "x"}]})")),
            "input[0].content[0].type");
  EXPECT_EQ(responses_fault(with_items("5")), "input[0]");
}

/// Of each body that the OpenAPI document describes.
TEST(doors, take_null_for_the_default_of_every_parameter) {
  const auto schemas =
      json::parse(std::ifstream{test::source_file("docs/openapi.json")})["components"]["schemas"];
  const json chat{{"model", "m"}, {"messages", {{{"role", "user"}, {"content", "x"}}}}};
  json message = chat;
  message["max_tokens"] = 9;
  struct body {
    const api_door& door;
    const char* path;
    const char* schema;
    json least;
  };
  const anthropic_door anthropic;
  const ollama_door ollama;
  const responses_door responses;
  for (const body& b : std::vector<body>{
           {anthropic, "/v1/messages", "MessagesRequest", message},
           {anthropic, "/v1/messages/count_tokens", "CountTokensRequest", chat},
           {ollama, "/api/chat", "OllamaChatRequest", chat},
           {ollama, "/api/generate", "OllamaGenerateRequest", {{"model", "m"}, {"prompt", "x"}}},
           {ollama, "/api/embed", "OllamaEmbedRequest", {{"model", "m"}, {"input", "x"}}},
           {ollama, "/api/show", "OllamaModelRequest", {{"model", "m"}}},
           {responses, "/v1/responses", "ResponsesRequest", {{"model", "m"}, {"input", "x"}}}}) {
    const auto read = [&](const json& document) {
      auto out = b.door.read(b.path, document.dump(), limits::api_deadline_max, {});
      const auto* const refused = std::get_if<api_error>(&out);
      EXPECT_EQ(refused, nullptr) << b.path << (refused != nullptr ? refused->message : "");
      return refused != nullptr ? completion_request{} : std::get<completion_request>(out);
    };
    const completion_request plain = read(b.least);
    for (const auto& [key, unused] : schemas.at(b.schema).at("properties").items()) {
      if (b.least.contains(key)) {
        continue;
      }
      json with_null = b.least;
      with_null[key] = nullptr;
      const completion_request r = read(with_null);
      EXPECT_EQ(r.asked, plain.asked) << b.path << " " << key;
      EXPECT_EQ(r.messages, plain.messages) << b.path << " " << key;
      EXPECT_EQ(r.max_tokens, plain.max_tokens) << b.path << " " << key;
      EXPECT_EQ(r.constraint, plain.constraint) << b.path << " " << key;
    }
  }
}

TEST_F(door_endpoint, a_response_is_told_kept_gone_on_with_and_deleted) {
  const auto exchange = ask(responses_body(""), "/v1/responses");
  answer({"Good", " day"});
  const json body = json::parse(exchange->head.body);
  const std::string id = response_name(first_id);
  EXPECT_EQ(body["id"], id);
  EXPECT_EQ(body["status"], "completed");
  EXPECT_EQ(body["output"][0]["content"][0]["text"], "Good day");
  EXPECT_EQ(body["usage"]["output_tokens"], 2);
  EXPECT_EQ(body["usage"]["input_tokens_details"]["cached_tokens"], 3);
  const std::string path = "/v1/responses/" + id;
  EXPECT_EQ(json::parse(ask("", path, {}, "GET")->head.body), body);
  const auto next = ask(R"({"model": "m", "input": "And?", "previous_response_id": ")" + id + "\"}",
                        "/v1/responses");
  const auto words = cluster_.list[0].vocabulary;
  std::string prompt;
  for (const token_id token : cluster_.started.back().order.prompt) {
    prompt += words->piece(token, true);
  }
  EXPECT_THAT(prompt, testing::AllOf(HasSubstr("Hi"), HasSubstr("Good day"), HasSubstr("And?")));
  answer({"x"});
  EXPECT_EQ(json::parse(next->head.body)["previous_response_id"], id);
  EXPECT_EQ(json::parse(ask("", path, {}, "DELETE")->head.body)["deleted"], true);
  EXPECT_EQ(ask("", path, {}, "GET")->head.status, 404);
  EXPECT_EQ(ask("", path, {}, "DELETE")->head.status, 404);
}

TEST_F(door_endpoint, a_response_that_is_not_to_be_stored_is_not) {
  ask(responses_body(R"("store": false)"), "/v1/responses");
  answer({"a"});
  EXPECT_EQ(ask("", "/v1/responses/" + response_name(first_id), {}, "GET")->head.status, 404);
  EXPECT_EQ(app_->calls().kept().size(), 0U);
}

TEST_F(door_endpoint, a_response_is_streamed_in_typed_events) {
  const auto exchange = ask(responses_body(R"("stream": true)"), "/v1/responses");
  answer({"Good", " day"}, finish_reason::length);
  EXPECT_EQ(types_of(exchange->head.body),
            (std::vector<std::string>{"response.created", "response.in_progress",
                                      "response.output_item.added", "response.content_part.added",
                                      "response.output_text.delta", "response.output_text.delta",
                                      "response.output_text.done", "response.content_part.done",
                                      "response.output_item.done", "response.incomplete"}));
  std::uint64_t number = 0;
  for (const auto& [type, data] : events_of(exchange->head.body)) {
    EXPECT_EQ(data["type"], type);
    EXPECT_EQ(data["sequence_number"], number++);
  }
  const json last = events_of(exchange->head.body).back().second["response"];
  EXPECT_EQ(last["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(last,
            json::parse(ask("", "/v1/responses/" + response_name(first_id), {}, "GET")->head.body));
}

TEST_F(door_endpoint, calls_of_functions_are_items_of_a_response) {
  const auto exchange = ask(responses_body(R"("stream": true, "tools": [{"type": "function",
      "name": "f", "parameters": {"type": "object"}}])"),
                            "/v1/responses");
  answer({call_text("f", R"({"a": 1})")});
  const auto events = events_of(exchange->head.body);
  const json response = events.back().second["response"];
  ASSERT_EQ(response["output"].size(), 1U);
  const json& call = response["output"][0];
  EXPECT_EQ(call["type"], "function_call");
  EXPECT_EQ(call["arguments"], R"({"a": 1})");
  EXPECT_THAT(types_of(exchange->head.body),
              testing::IsSupersetOf({"response.function_call_arguments.delta",
                                     "response.function_call_arguments.done"}));
  const auto next = ask(fmt::format(R"({{"model": "m", "previous_response_id": "{}", "input": [
            {{"type": "function_call_output", "call_id": {}, "output": "x"}}]}})",
                                    response_name(first_id), call["call_id"].dump()),
                        "/v1/responses");
  EXPECT_EQ(next->head.status, 0) << next->head.body;
}

TEST_F(door_endpoint, responses_of_other_keys_are_not_found) {
  options_.keys_needed = true;
  restart(options_);
  known_keys keys;
  std::vector<std::map<std::string, std::string, std::less<>>> with;
  for (const std::string name : {"ann", "bob"}) {
    api_key key;
    key.name = name;
    std::array<std::byte, 32> secret{};
    secret[0] = static_cast<std::byte>(name[0]);
    with.push_back({{"authorization", "Bearer " + keys.table.add(key, secret, keys.with).value()}});
  }
  app_->use_keys(keys);
  ask(responses_body(""), "/v1/responses", with[0]);
  answer({"a"});
  const std::string path = "/v1/responses/" + response_name(first_id);
  EXPECT_EQ(ask("", path, with[1], "GET")->head.status, 404);
  EXPECT_EQ(ask("", path, with[1], "DELETE")->head.status, 404);
  EXPECT_EQ(ask(R"({"model": "m", "input": "x", "previous_response_id": ")" +
                    response_name(first_id) + "\"}",
                "/v1/responses", with[1])
                ->head.status,
            400);
  EXPECT_EQ(ask("", path, with[0], "GET")->head.status, 200);
}

TEST_F(door_endpoint, a_response_that_failed_says_so_and_is_not_kept) {
  const auto early = ask(responses_body(""), "/v1/responses");
  app_->calls().on_end(tag(), fail(errc::busy, "the queue is full"));
  EXPECT_EQ(json::parse(early->head.body)["error"]["type"], "overloaded_error");
  const auto late = ask(responses_body(R"("stream": true)"), "/v1/responses");
  app_->calls().on_token(tag(), {0, 5, "a"});
  app_->calls().on_end(tag(), fail(errc::peer_lost, "no nodes are left"));
  const auto [type, data] = events_of(late->head.body).back();
  EXPECT_EQ(type, "response.failed");
  EXPECT_EQ(data["response"]["error"]["message"], "no nodes are left");
  EXPECT_EQ(app_->calls().kept().size(), 0U);
}

} // namespace
} // namespace ovir::gateway
