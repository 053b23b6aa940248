#include "gateway/doors/anthropic_request.hpp"
#include "gateway/http/bounded_json.hpp"
#include "messages/limits/gateway.hpp"
#include "tests/unit/gateway/door_endpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::gateway {
namespace {

using testing::HasSubstr;

completion_request read_message_body(const std::string& body) {
  auto out = read_anthropic_messages(body, false, limits::api_deadline_max);
  if (const auto* const refused = std::get_if<api_error>(&out)) {
    ADD_FAILURE() << refused->message;
    return {};
  }
  return std::get<completion_request>(std::move(out));
}

/// The parameter that a body is refused for.
std::string message_fault(const std::string& body) {
  const auto out = read_anthropic_messages(body, false, limits::api_deadline_max);
  const auto* const refused = std::get_if<api_error>(&out);
  if (refused == nullptr) {
    return "accepted";
  }
  EXPECT_EQ(refused->status, 400) << body;
  EXPECT_FALSE(refused->message.empty());
  return refused->param;
}

std::string message_body(const std::string& more) {
  return R"({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}])" +
         (more.empty() ? "" : ", " + more) + "}";
}

std::string said(const std::string& messages) {
  return R"({"model": "m", "max_tokens": 9, "messages": [)" + messages + "]}";
}

TEST(anthropic_request, reads_what_a_client_may_ask) {
  const auto r = read_message_body(message_body(
      R"("system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
                    {"type": "text", "text": "Be brief."}],
         "stop_sequences": ["END"], "temperature": 0.5, "top_p": 0.9, "top_k": 7, "stream": true,
         "metadata": {"user_id": "u"}, "service_tier": "auto", "thinking": {"type": "disabled"},
         "presence_penalty": 1, "frequency_penalty": -1, "min_tokens": 2, "logit_bias": {"7": 3},
         "seed": 4, "receipt": true, "deadline_ms": 500)"));
  EXPECT_EQ(r.messages,
            (std::vector<chat_message>{{"system", "Be kind.\n\nBe brief."}, {"user", "Hi"}}));
  EXPECT_EQ(r.max_tokens, 9U);
  EXPECT_EQ(r.asked.stop, std::vector<std::string>{"END"});
  EXPECT_EQ(r.asked.sampling.temperature, 0.5F);
  EXPECT_EQ(r.asked.sampling.top_k, 7U);
  EXPECT_EQ(r.asked.sampling.presence_penalty, 1.0F);
  EXPECT_EQ(r.asked.sampling.frequency_penalty, -1.0F);
  EXPECT_EQ(r.asked.sampling.min_tokens, 2U);
  EXPECT_EQ(r.asked.sampling.logit_bias, (std::vector<token_bias>{{7, 3.0F}}));
  EXPECT_TRUE(r.stream && r.asked.receipt);
  EXPECT_EQ(r.seed, 4U);
  EXPECT_EQ(r.deadline, std::chrono::milliseconds{500});
}

TEST(anthropic_request, writes_calls_and_their_results_as_a_chat_has_them) {
  const auto r = read_message_body(said(R"(
    {"role": "user", "content": "What does a cow say?"},
    {"role": "assistant", "content": [{"type": "text", "text": "I ask."},
       {"type": "tool_use", "id": "t1", "name": "sound", "input": {"b": 1, "a": 2}},
       {"type": "tool_use", "id": "t2", "name": "sound", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "Moo"},
       {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
        "content": [{"type": "text", "text": "no"}]},
       {"type": "text", "text": "And?"}]})"));
  ASSERT_EQ(r.messages.size(), 5U);
  EXPECT_EQ(r.messages[1].content, "I ask.");
  EXPECT_EQ(r.messages[1].calls,
            (std::vector<chat_call>{{"t1", "sound", R"({"b":1,"a":2})"}, {"t2", "sound", "{}"}}));
  EXPECT_EQ(r.messages[2], (chat_message{"tool", "Moo", {}, "t1"}));
  EXPECT_EQ(r.messages[3], (chat_message{"tool", "Error: no", {}, "t2"}));
  EXPECT_EQ(r.messages[4], (chat_message{"user", "And?"}));
}

TEST(anthropic_request, refuses_forged_and_repeated_ids_of_calls) {
  const std::string use = R"({"role": "user", "content": "x"}, {"role": "assistant", "content":
      [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}, )";
  const std::string result =
      R"({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]})";
  EXPECT_EQ(message_fault(said(use + result)), "accepted");
  EXPECT_EQ(message_fault(said(result)), "messages[0].content[0].tool_use_id");
  EXPECT_EQ(message_fault(said(use + result + "," + result)), "messages[3].content[0].tool_use_id");
  EXPECT_EQ(message_fault(said(use + R"({"role": "user", "content": [{"type": "text", "text": "x"},
                {"type": "tool_result", "tool_use_id": "t1"}]})")),
            "messages[2].content[1].type");
  EXPECT_EQ(message_fault(said(use + use + result)), "messages[3].content[0].id");
}

TEST(anthropic_request, tools_and_their_choice_become_those_of_a_chat) {
  const std::string tools =
      R"("tools": [{"name": "sound", "description": "says", "input_schema": {"type": "object",
         "properties": {"z": {"type": "integer"}, "a": {"type": "integer"}}},
         "cache_control": {"type": "ephemeral"}}])";
  const auto free = read_message_body(message_body(tools));
  EXPECT_EQ(free.constraint_of, "tools");
  EXPECT_THAT(free.constraint, HasSubstr(R"("needed":false)"));
  EXPECT_THAT(free.constraint, HasSubstr(R"("z":{"type":"integer"},"a")")) << "in their order";
  const auto chosen = [&](const std::string& choice) {
    return read_message_body(message_body(tools + R"(, "tool_choice": )" + choice)).constraint;
  };
  EXPECT_THAT(chosen(R"({"type": "any", "disable_parallel_tool_use": true})"),
              HasSubstr(R"("needed":true,"calls":1)"));
  EXPECT_THAT(chosen(R"({"type": "tool", "name": "sound"})"), HasSubstr(R"("needed":true)"));
  EXPECT_EQ(chosen(R"({"type": "none"})"), "");
  EXPECT_EQ(
      message_fault(message_body(tools + R"(, "tool_choice": {"type": "tool", "name": "x"})")),
      "tool_choice");
}

TEST(anthropic_request, a_schema_of_the_answer_becomes_a_constraint) {
  const auto r = read_message_body(message_body(
      R"("output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}})"));
  EXPECT_EQ(r.constraint_of, "output_config.format");
  EXPECT_EQ(r.constraint, R"("schema":{"type":"object"})");
}

TEST(anthropic_request, refuses_by_name_what_cannot_be_honoured) {
  for (const auto& [more, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("thinking": {"type": "enabled", "budget_tokens": 1024})", "thinking"},
           {R"("temperature": 1.5)", "temperature"},
           {R"("top_p": 2)", "top_p"},
           {R"("stop_sequences": "x")", "stop_sequences"},
           {R"("stop_sequences": [""])", "stop_sequences"},
           {R"("mcp_servers": [{}])", "mcp_servers"},
           {R"("service_tier": "priority")", "service_tier"},
           {R"("tools": [{"type": "web_search_20250305", "name": "w"}])", "tools[0].type"},
           {R"("tools": [{"name": "w"}])", "tools[0].input_schema"},
           {R"("output_config": {"effort": "high"})", "output_config.effort"},
           {R"("mood": 1)", "mood"},
           {R"("system": 5)", "system"}}) {
    EXPECT_EQ(message_fault(message_body(more)), param);
  }
  EXPECT_EQ(message_fault(R"({"model": "m", "messages": [{"role": "user", "content": "x"}]})"),
            "max_tokens");
  EXPECT_EQ(message_fault(said(R"({"role": "system", "content": "x"})")), "messages[0].role");
  EXPECT_EQ(
      message_fault(said(R"({"role": "user", "content": [{"type": "image", "source": {}}]})")),
      "messages[0].content[0].type");
  EXPECT_EQ(message_fault(said(R"({"role": "user", "content": "a"},
                                  {"role": "assistant", "content": "b"})")),
            "messages");
  EXPECT_EQ(message_fault(said(R"({"role": "user", "content": []})")), "messages[0].content");
  EXPECT_EQ(message_fault(said(R"(7)")), "messages[0]");
}

TEST_F(door_endpoint, a_message_is_answered_whole) {
  const auto exchange = ask(message_body(R"("system": "Be kind.")"), "/v1/messages");
  answer({"Good", " day"});
  ASSERT_EQ(exchange->head.status, 200) << exchange->head.body;
  const json body = json::parse(exchange->head.body);
  EXPECT_EQ(body["id"], "msg_" + to_text(first_id));
  EXPECT_EQ(body["type"], "message");
  EXPECT_EQ(body["content"], json::array({{{"type", "text"}, {"text", "Good day"}}}));
  EXPECT_EQ(body["stop_reason"], "end_turn");
  EXPECT_EQ(body["usage"]["output_tokens"], 2);
  EXPECT_EQ(body["usage"]["cache_read_input_tokens"], 3);
  EXPECT_EQ(body["usage"]["input_tokens"].get<std::size_t>() + 3,
            cluster_.started[0].order.prompt.size());
  EXPECT_EQ(cluster_.started[0].order.max_tokens, 9U);
  EXPECT_TRUE(body["ovir"].contains("transcript"));
}

TEST_F(door_endpoint, a_message_is_streamed_in_the_order_of_events_that_clients_expect) {
  const auto exchange = ask(message_body(R"("stream": true)"), "/v1/messages");
  answer({"Good", " day"}, finish_reason::length);
  EXPECT_THAT(exchange->head.content_type, HasSubstr("text/event-stream"));
  EXPECT_EQ(types_of(exchange->head.body),
            (std::vector<std::string>{"message_start", "ping", "content_block_start",
                                      "content_block_delta", "content_block_delta",
                                      "content_block_stop", "message_delta", "message_stop"}));
  const auto events = events_of(exchange->head.body);
  for (const auto& [type, data] : events) {
    EXPECT_EQ(data["type"], type);
  }
  EXPECT_EQ(events[3].second["delta"], (json{{"type", "text_delta"}, {"text", "Good"}}));
  EXPECT_EQ(events[6].second["delta"]["stop_reason"], "max_tokens");
  EXPECT_EQ(events[6].second["usage"]["output_tokens"], 2);
}

TEST_F(door_endpoint, calls_of_tools_are_blocks_of_a_message) {
  const std::string tools = R"("tools": [{"name": "f", "input_schema": {"type": "object",
      "properties": {"a": {"type": "integer"}}}}], "max_tokens": 100)";
  const std::string body =
      R"({"model": "m", "messages": [{"role": "user", "content": "x"}], )" + tools;
  const std::vector<std::string> told{"I ask. ", call_text("f", R"({"a": 1})"), "\n",
                                      call_text("f", "{}")};
  const auto whole = ask(body + "}", "/v1/messages");
  answer(told);
  const json message = json::parse(whole->head.body);
  ASSERT_EQ(message["content"].size(), 3U) << message;
  EXPECT_EQ(message["content"][1]["input"], (json{{"a", 1}}));
  EXPECT_EQ(message["stop_reason"], "tool_use");
  EXPECT_NE(message["content"][1]["id"], message["content"][2]["id"]);
  const auto live = ask(body + R"(, "stream": true})", "/v1/messages");
  answer(told);
  json built = json::array();
  for (const auto& [type, data] : events_of(live->head.body)) {
    if (type == "content_block_start") {
      built.push_back(data["content_block"]);
      built.back()["so_far"] = "";
    } else if (type == "content_block_delta") {
      const json& delta = data["delta"];
      json& block = built[data["index"].get<std::size_t>()];
      block["so_far"] = block["so_far"].get<std::string>() +
                        delta.value(delta["type"] == "text_delta" ? "text" : "partial_json", "");
    }
  }
  ASSERT_EQ(built.size(), 3U);
  EXPECT_EQ(built[0]["so_far"], message["content"][0]["text"]);
  EXPECT_EQ(json::parse(built[1]["so_far"].get<std::string>()), message["content"][1]["input"]);
}

TEST_F(door_endpoint, a_call_that_was_cut_off_is_none) {
  const auto exchange = ask(
      R"({"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "x"}],
          "tools": [{"name": "f", "input_schema": {"type": "object"}}]})",
      "/v1/messages");
  answer({"<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": "}, finish_reason::length);
  const json body = json::parse(exchange->head.body);
  EXPECT_EQ(body["content"], json::array());
  EXPECT_EQ(body["stop_reason"], "max_tokens");
}

TEST_F(door_endpoint, the_stop_sequence_that_ended_a_message_is_named) {
  const auto exchange = ask(message_body(R"("stop_sequences": ["zzz", "END"])"), "/v1/messages");
  const auto ids = cluster_.list[0].vocabulary->encode("Moo END", {}).value();
  std::uint32_t index = 0;
  for (const token_id id : ids) {
    app_->calls().on_token(tag(), {index, id, index == 0 ? "Moo " : ""});
    ++index;
  }
  app_->calls().on_end(tag(), outcome("Moo ", index));
  const json body = json::parse(exchange->head.body);
  EXPECT_EQ(body["stop_reason"], "stop_sequence") << body;
  EXPECT_EQ(body["stop_sequence"], "END");
}

TEST_F(door_endpoint, tokens_of_a_message_are_counted_and_nothing_is_computed) {
  const std::string body = R"({"model": "m", "messages": [{"role": "user", "content": "Hi"}]})";
  const auto counted = ask(body, "/v1/messages/count_tokens");
  EXPECT_EQ(counted->head.status, 200);
  EXPECT_TRUE(cluster_.started.empty());
  ask(message_body(""), "/v1/messages");
  EXPECT_EQ(json::parse(counted->head.body),
            (json{{"input_tokens", cluster_.started[0].order.prompt.size()}}));
}

TEST_F(door_endpoint, errors_of_messages_have_the_form_of_their_api) {
  const auto error_of = [](const auto& exchange) { return json::parse(exchange->head.body); };
  const auto malformed = ask("{", "/v1/messages");
  EXPECT_EQ(malformed->head.status, 400);
  EXPECT_EQ(error_of(malformed)["type"], "error");
  EXPECT_EQ(error_of(malformed)["error"]["type"], "invalid_request_error");
  EXPECT_EQ(error_of(ask("", "/v1/messages", {}, "GET"))["error"]["type"], "invalid_request_error");
  const auto none = ask(R"({"model": "x", "max_tokens": 1,
                            "messages": [{"role": "user", "content": "a"}]})",
                        "/v1/messages");
  EXPECT_EQ(none->head.status, 404);
  EXPECT_EQ(error_of(none)["error"]["type"], "not_found_error");
  const auto early = ask(message_body(""), "/v1/messages");
  app_->calls().on_end(tag(), fail(errc::busy, "the queue is full"));
  EXPECT_EQ(early->head.status, 503);
  EXPECT_EQ(error_of(early)["error"]["type"], "overloaded_error");
  const auto late = ask(message_body(R"("stream": true)"), "/v1/messages");
  app_->calls().on_token(tag(), {0, 5, "a"});
  app_->calls().on_end(tag(), fail(errc::peer_lost, "no nodes are left"));
  EXPECT_EQ(events_of(late->head.body).back().first, "error");
  EXPECT_THAT(late->head.body, HasSubstr("no nodes are left"));
}

TEST_F(door_endpoint, a_silent_message_begins_and_pings) {
  const auto exchange = ask(message_body(R"("stream": true)"), "/v1/messages");
  now_ += limits::http_beat;
  app_->tick();
  EXPECT_EQ(types_of(exchange->head.body),
            (std::vector<std::string>{"message_start", "ping", "ping"}));
  answer({"a"});
  EXPECT_EQ(types_of(exchange->head.body).size(), 8U);
}

TEST_F(door_endpoint, keys_of_either_header_and_their_limits_hold_for_messages) {
  const auto counted = ask(message_body(""), "/v1/messages/count_tokens");
  api_key key;
  key.tokens_per_day = json::parse(counted->head.body)["input_tokens"].get<std::uint64_t>() + 10;
  const std::string text = use_one_key(key);
  EXPECT_EQ(ask(message_body(""), "/v1/messages")->head.status, 401);
  EXPECT_EQ(ask(message_body(""), "/v1/messages", {{"x-api-key", "wrong"}})->head.status, 401);
  EXPECT_EQ(ask(message_body(""), "/v1/messages",
                {{"x-api-key", text}, {"authorization", "Bearer wrong"}})
                ->head.status,
            401);
  EXPECT_EQ(ask(message_body(""), "/v1/messages",
                {{"x-api-key", text}, {"authorization", "Basic " + text}})
                ->head.status,
            401);
  EXPECT_EQ(ask(message_body(""), "/v1/messages/count_tokens",
                {{"x-api-key", "wrong"}, {"authorization", "Bearer " + text}})
                ->head.status,
            200);
  EXPECT_EQ(ask(message_body(""), "/v1/messages", {{"x-api-key", text}})->head.status, 0);
  const auto over = ask(message_body(""), "/v1/messages", {{"authorization", "Bearer " + text}});
  EXPECT_EQ(over->head.status, 429);
  EXPECT_EQ(json::parse(over->head.body)["error"]["type"], "rate_limit_error");
}

} // namespace
} // namespace ovir::gateway
