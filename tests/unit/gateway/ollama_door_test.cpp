#include "gateway/doors/ollama_request.hpp"
#include "gateway/http/bounded_json.hpp"
#include "messages/limits/gateway.hpp"
#include "tests/unit/gateway/door_endpoint.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <sstream>

namespace ovir::gateway {
namespace {

using testing::HasSubstr;

ollama_request read_ollama_body(ollama_task task, const std::string& body) {
  auto out = read_ollama(task, body, limits::api_deadline_max);
  if (const auto* const refused = std::get_if<api_error>(&out)) {
    ADD_FAILURE() << refused->message;
    return {};
  }
  return std::get<ollama_request>(std::move(out));
}

/// The parameter that a body is refused for.
std::string ollama_fault(ollama_task task, const std::string& body) {
  const auto out = read_ollama(task, body, limits::api_deadline_max);
  const auto* const refused = std::get_if<api_error>(&out);
  if (refused == nullptr) {
    return "accepted";
  }
  EXPECT_EQ(refused->status, 400) << body;
  EXPECT_FALSE(refused->message.empty());
  return refused->param;
}

std::string ollama_chat(const std::string& more) {
  return R"({"model": "m", "messages": [{"role": "user", "content": "Hi"}])" +
         (more.empty() ? "" : ", " + more) + "}";
}

/// Documents of a stream, one a line.
std::vector<json> lines_of(const std::string& body) {
  std::vector<json> lines;
  std::istringstream in{body};
  for (std::string line; std::getline(in, line);) {
    lines.push_back(json::parse(line));
  }
  return lines;
}

TEST(ollama_request, reads_a_chat_with_the_defaults_of_its_api) {
  const auto r = read_ollama_body(ollama_task::chat, ollama_chat(R"("keep_alive": "5m")"));
  EXPECT_TRUE(r.asked.stream);
  EXPECT_FALSE(r.model_alone);
  EXPECT_EQ(r.asked.asked.sampling.temperature, 0.8F);
  EXPECT_EQ(r.asked.asked.sampling.top_k, 40U);
  EXPECT_EQ(r.asked.asked.sampling.top_p, 0.9);
}

TEST(ollama_request, reads_options) {
  const auto r = read_ollama_body(
      ollama_task::chat,
      ollama_chat(R"("stream": false, "think": false, "options": {"temperature": 0, "top_k": 5,
          "top_p": 0.5, "min_p": 0.1, "repeat_penalty": 1.1, "presence_penalty": 0.5,
          "frequency_penalty": -0.25, "seed": 7, "num_predict": 12,
          "stop": ["a"], "num_ctx": 4096, "num_gpu": 1, "mirostat": 0})"));
  EXPECT_FALSE(r.asked.stream);
  EXPECT_EQ(r.asked.asked.sampling.temperature, 0);
  EXPECT_EQ(r.asked.asked.sampling.top_k, 5U);
  EXPECT_EQ(r.asked.asked.sampling.top_p, 0.5);
  EXPECT_EQ(r.asked.asked.sampling.min_p, 0.1);
  EXPECT_EQ(r.asked.asked.sampling.repeat_penalty, 1.1F);
  EXPECT_EQ(r.asked.asked.sampling.presence_penalty, 0.5F);
  EXPECT_EQ(r.asked.asked.sampling.frequency_penalty, -0.25F);
  EXPECT_EQ(r.asked.seed, 7U);
  EXPECT_EQ(r.asked.max_tokens, 12U);
  EXPECT_EQ(r.asked.asked.stop, std::vector<std::string>{"a"});
  const auto open = read_ollama_body(ollama_task::chat,
                                     ollama_chat(R"("options": {"num_predict": -1, "seed": -1})"));
  EXPECT_FALSE(open.asked.max_tokens || open.asked.seed);
}

TEST(ollama_request, a_generation_is_what_a_user_says_or_the_raw_prompt) {
  const auto chat = read_ollama_body(
      ollama_task::generate, R"({"model": "m:latest", "prompt": "Hi", "system": "Be kind."})");
  EXPECT_EQ(chat.asked.model, "m");
  EXPECT_EQ(chat.called, "m:latest");
  EXPECT_EQ(chat.asked.messages,
            (std::vector<chat_message>{{"system", "Be kind."}, {"user", "Hi"}}));
  const auto raw =
      read_ollama_body(ollama_task::generate, R"({"model": "m", "prompt": "Hi", "raw": true})");
  EXPECT_EQ(raw.asked.kind, api_kind::completion);
  EXPECT_EQ(raw.asked.prompts, (std::vector<prompt_input>{"Hi"}));
  const auto gap =
      read_ollama_body(ollama_task::generate, R"({"model": "m", "prompt": "Hi", "suffix": "!"})");
  EXPECT_EQ(gap.asked.kind, api_kind::completion);
  EXPECT_EQ(gap.asked.suffix, "!");
  EXPECT_TRUE(read_ollama_body(ollama_task::generate, R"({"model": "m"})").model_alone);
  EXPECT_TRUE(read_ollama_body(ollama_task::chat, R"({"name": "m", "messages": []})").model_alone);
}

TEST(ollama_request, results_of_tools_find_their_calls) {
  const std::string calls = R"({"model": "m", "messages": [{"role": "user", "content": "x"},
      {"role": "assistant", "content": "", "tool_calls": [
         {"function": {"name": "f", "arguments": {"b": 1, "a": 2}}},
         {"function": {"name": "g", "arguments": {}}}]},)";
  const auto r = read_ollama_body(ollama_task::chat,
                                  calls + R"({"role": "tool", "tool_name": "g", "content": "of g"},
                                    {"role": "tool", "content": "of f"}]})");
  ASSERT_EQ(r.asked.messages.size(), 4U);
  const auto& made = r.asked.messages[1].calls;
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].arguments, R"({"b":1,"a":2})");
  EXPECT_EQ(r.asked.messages[2].answers, made[1].id);
  EXPECT_EQ(r.asked.messages[3].answers, made[0].id);
  EXPECT_EQ(ollama_fault(ollama_task::chat,
                         calls + R"({"role": "tool", "tool_name": "h", "content": "?"}]})"),
            "messages[2].role");
  EXPECT_EQ(
      ollama_fault(ollama_task::chat, calls + R"({"role": "tool", "tool_name": "g", "content": "1"},
                           {"role": "tool", "tool_name": "g", "content": "2"}]})"),
      "messages[3].role")
      << "a call has one result";
  EXPECT_EQ(ollama_fault(ollama_task::chat,
                         R"({"model": "m", "messages": [{"role": "tool", "content": "?"}]})"),
            "messages[0].role");
}

TEST(ollama_request, a_format_becomes_a_constraint) {
  EXPECT_EQ(
      read_ollama_body(ollama_task::chat, ollama_chat(R"("format": "json")")).asked.constraint,
      R"("json":"object")");
  const auto r =
      read_ollama_body(ollama_task::chat, ollama_chat(R"("format": {"type": "object"})"));
  EXPECT_EQ(r.asked.constraint, R"("schema":{"type":"object"})");
  EXPECT_EQ(r.asked.constraint_of, "format");
}

TEST(ollama_request, refuses_by_name_what_cannot_be_honoured) {
  for (const auto& [more, param] : std::vector<std::pair<std::string, std::string>>{
           {R"("options": {"temperature": 9})", "options.temperature"},
           {R"("options": {"top_p": -1})", "options.top_p"},
           {R"("options": {"mirostat": 2})", "options.mirostat"},
           {R"("options": {"presence_penalty": 3})", "options.presence_penalty"},
           {R"("options": {"frequency_penalty": "x"})", "options.frequency_penalty"},
           {R"("options": {"num_predict": 0})", "options.num_predict"},
           {R"("options": {"num_predict": "x"})", "options.num_predict"},
           {R"("options": {"seed": 1.5})", "options.seed"},
           {R"("options": {"mood": 1})", "options.mood"},
           {R"("options": 1)", "options"},
           {R"("format": "xml")", "format"},
           {R"("think": true)", "think"},
           {R"("n": 2)", "n"},
           {R"("stream": 1)", "stream"}}) {
    EXPECT_EQ(ollama_fault(ollama_task::chat, ollama_chat(more)), param);
  }
  const auto generated = [](const std::string& more) {
    return ollama_fault(ollama_task::generate, R"({"model": "m", "prompt": "x", )" + more + "}");
  };
  EXPECT_EQ(generated(R"("images": ["aGk="])"), "images");
  EXPECT_EQ(generated(R"("template": "{{ .Prompt }}")"), "template");
  EXPECT_EQ(generated(R"("context": [1, 2])"), "context");
  EXPECT_EQ(generated(R"("suffix": "y", "system": "z")"), "system");
  EXPECT_EQ(generated(R"("raw": true, "system": "y")"), "system");
  EXPECT_EQ(ollama_fault(ollama_task::embed, R"({"model": "m", "input": []})"), "input");
  EXPECT_EQ(ollama_fault(ollama_task::embed, R"({"model": "m", "input": "x", "dimensions": 0})"),
            "dimensions");
  EXPECT_EQ(ollama_fault(ollama_task::chat, "{}"), "model");
  EXPECT_EQ(ollama_fault(ollama_task::chat, "[]"), "");
}

TEST_F(door_endpoint, an_ollama_chat_is_lines_of_json_unless_it_says_otherwise) {
  const auto live = ask(ollama_chat(""), "/api/chat");
  now_ += std::chrono::milliseconds{5};
  answer({"Good", " day"});
  EXPECT_EQ(live->head.content_type, "application/x-ndjson");
  const auto lines = lines_of(live->head.body);
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["message"], (json{{"role", "assistant"}, {"content", "Good"}}));
  EXPECT_EQ(lines[0]["done"], false);
  EXPECT_EQ(lines[2]["done"], true);
  EXPECT_EQ(lines[2]["done_reason"], "stop");
  EXPECT_EQ(lines[2]["eval_count"], 2);
  EXPECT_EQ(lines[2]["total_duration"], 5'000'000);
  EXPECT_EQ(lines[2]["prompt_eval_count"], cluster_.started[0].order.prompt.size());
  EXPECT_EQ(lines[0]["created_at"], "1970-01-12T13:46:40Z");
  const auto whole = ask(ollama_chat(R"("stream": false)"), "/api/chat");
  answer({"Good", " day"}, finish_reason::length);
  const json body = json::parse(whole->head.body);
  EXPECT_EQ(body["message"]["content"], "Good day");
  EXPECT_EQ(body["done_reason"], "length");
  EXPECT_EQ(whole->head.content_type, "application/json");
}

TEST_F(door_endpoint, an_ollama_generation_has_as_many_tokens_as_there_is_room_for) {
  const auto exchange =
      ask(R"({"model": "m", "prompt": "Hi", "raw": true, "stream": false})", "/api/generate",
          {{"content-type", "application/x-www-form-urlencoded"}});
  const generation_order& order = cluster_.started[0].order;
  EXPECT_EQ(order.max_tokens, 512 - order.prompt.size());
  EXPECT_EQ(order.sampling.temperature, 0.8F);
  EXPECT_EQ(order.sampling.top_k, 40U);
  answer({" there"});
  EXPECT_EQ(json::parse(exchange->head.body)["response"], " there");
}

TEST_F(door_endpoint, calls_of_tools_are_told_to_ollamas_clients_once_they_are_whole) {
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f",
      "parameters": {"type": "object"}}}])";
  const auto live = ask(ollama_chat(tools), "/api/chat");
  answer({"<tool_call>\n{\"name\": \"f\", ", "\"arguments\": {\"a\": 1}}\n</tool_call>"});
  const auto lines = lines_of(live->head.body);
  ASSERT_EQ(lines.size(), 2U) << live->head.body;
  EXPECT_EQ(lines[0]["message"]["tool_calls"],
            json::array({{{"function", {{"name", "f"}, {"arguments", {{"a", 1}}}}}}}));
}

TEST_F(door_endpoint, embeddings_of_ollama_come_in_the_order_of_their_texts) {
  const auto exchange = ask(R"({"model": "m", "input": ["a", "b"]})", "/api/embed");
  ASSERT_EQ(cluster_.started.size(), 2U);
  for (const std::size_t i : {1U, 0U}) { // the second is ready first
    generation_outcome vector = outcome("", 0);
    vector.embedding = {static_cast<float>(i), 0.5F};
    app_->calls().on_end(cluster_.started[i].tag, vector);
  }
  EXPECT_EQ(json::parse(exchange->head.body)["embeddings"], (json{{0.0, 0.5}, {1.0, 0.5}}));
  const auto older = ask(R"({"model": "m", "prompt": "a"})", "/api/embeddings");
  generation_outcome vector = outcome("", 0);
  vector.embedding = {0.25F};
  app_->calls().on_end(tag(), vector);
  EXPECT_EQ(json::parse(older->head.body)["embedding"], (json{0.25}));
}

TEST_F(door_endpoint, models_of_ollama_are_those_of_the_swarm) {
  cluster_.list[0].name = "m.gguf";
  cluster_.list[0].chat_template = "{{ x }}";
  const json tags = json::parse(ask("", "/api/tags", {}, "GET")->head.body);
  EXPECT_EQ(tags["models"][0]["name"], "m:latest");
  EXPECT_EQ(tags["models"][0]["digest"], to_hex(cluster_.list[0].id));
  const json running = json::parse(ask("", "/api/ps", {}, "GET")->head.body);
  EXPECT_EQ(running["models"][0]["context_length"], 512);
  const json shown = json::parse(ask(R"({"model": "m:latest"})", "/api/show")->head.body);
  EXPECT_EQ(shown["template"], "{{ x }}");
  EXPECT_EQ(shown["model_info"]["ovir.context_length"], 512);
  EXPECT_EQ(json::parse(ask("", "/api/version", {}, "GET")->head.body)["version"], "7.8.9");
  EXPECT_EQ(ask("", "/", {}, "GET")->head.body, "Ollama is running");
  EXPECT_EQ(ask("", "/", {}, "HEAD")->head.status, 200);
}

TEST_F(door_endpoint, a_model_that_is_here_is_pulled_and_loaded_and_no_other_can_be) {
  const auto pulled = ask(R"({"model": "m"})", "/api/pull");
  EXPECT_EQ(pulled->head.content_type, "application/x-ndjson");
  EXPECT_EQ(lines_of(pulled->head.body), (std::vector<json>{{{"status", "success"}}}));
  EXPECT_EQ(ask(R"({"model": "m", "stream": false})", "/api/pull")->head.body,
            R"({"status":"success"})");
  const auto none = ask(R"({"model": "gemma"})", "/api/pull");
  EXPECT_EQ(none->head.status, 404);
  EXPECT_THAT(json::parse(none->head.body)["error"], HasSubstr("gemma"));
  const auto loaded = ask(R"({"model": "m"})", "/api/generate");
  EXPECT_EQ(lines_of(loaded->head.body)[0]["done_reason"], "load");
  EXPECT_TRUE(cluster_.started.empty());
  EXPECT_EQ(ask("{}", "/api/create")->head.status, 400);
  EXPECT_EQ(ask("", "/api/delete", {}, "DELETE")->head.status, 400);
}

TEST_F(door_endpoint, errors_of_ollama_are_one_text_and_a_late_one_is_the_last_line) {
  EXPECT_TRUE(json::parse(ask("{", "/api/chat")->head.body)["error"].is_string());
  EXPECT_EQ(ask("", "/api/chat", {}, "GET")->head.status, 405);
  const auto late = ask(ollama_chat(""), "/api/chat");
  app_->calls().on_token(tag(), {0, 5, "a"});
  app_->calls().on_end(tag(), fail(errc::peer_lost, "no nodes are left"));
  EXPECT_THAT(lines_of(late->head.body).back()["error"], HasSubstr("no nodes are left"));
}

TEST_F(door_endpoint, a_silent_ollama_stream_says_nothing) {
  const auto exchange = ask(ollama_chat(""), "/api/chat");
  now_ += limits::http_beat;
  app_->tick();
  EXPECT_EQ(exchange->head.status, 0);
  answer({"a"});
  EXPECT_EQ(lines_of(exchange->head.body).size(), 2U);
}

TEST_F(door_endpoint, keys_and_their_limits_hold_for_ollamas_clients) {
  api_key key;
  key.requests_per_minute = 1;
  const std::string text = use_one_key(key);
  for (const std::string path : {"/api/tags", "/api/version", "/api/ps"}) {
    EXPECT_EQ(ask("", path, {}, "GET")->head.status, 401) << path;
  }
  EXPECT_EQ(ask("", "/", {}, "GET")->head.status, 200);
  const std::map<std::string, std::string, std::less<>> with{{"authorization", "Bearer " + text}};
  EXPECT_EQ(ask(R"({"model": "m"})", "/api/show", with)->head.status, 200);
  EXPECT_EQ(ask(ollama_chat(""), "/api/chat", with)->head.status, 429);
  EXPECT_EQ(ask("", "/api/tags", with, "GET")->head.status, 200);
}

TEST_F(door_endpoint, pages_of_elsewhere_reach_no_door) {
  for (const std::string path : {"/api/chat", "/v1/messages", "/v1/responses", "/api/pull"}) {
    EXPECT_EQ(
        ask("{}", path, {{"origin", "http://evil"}, {"content-type", "text/plain"}})->head.status,
        403)
        << path;
  }
  EXPECT_EQ(ask("{}", "/v1/messages", {{"content-type", "text/plain"}})->head.status, 415);
  EXPECT_EQ(ask("{}", "/v1/responses", {{"content-type", "text/plain"}})->head.status, 415);
}

TEST_F(door_endpoint, no_door_takes_more_requests_than_there_may_be) {
  options_.requests_max = 1;
  restart(options_);
  ask(ollama_chat(""), "/api/chat");
  for (const auto& [path, body] : std::vector<std::pair<std::string, std::string>>{
           {"/api/chat", ollama_chat("")},
           {"/v1/messages", R"({"model": "m", "max_tokens": 1,
                                "messages": [{"role": "user", "content": "a"}]})"},
           {"/v1/responses", R"({"model": "m", "input": "a"})"}}) {
    EXPECT_EQ(ask(body, path)->head.status, 503) << path;
  }
}

TEST_F(door_endpoint, a_request_of_a_door_is_resumed_whole_and_by_its_own_name_alone) {
  const std::string body = ollama_chat("");
  const auto first = ask(body, "/api/chat");
  app_->calls().on_token(tag(), {0, 5, "a"});
  first->on_gone();
  const auto again = ask(body, "/api/chat", {{"x-ovir-request", to_text(first_id)}});
  EXPECT_EQ(digest_of(cluster_.started[0].order), digest_of(cluster_.started.back().order));
  answer({"a", "b"});
  EXPECT_EQ(lines_of(again->head.body).size(), 3U);
  EXPECT_EQ(ask(body, "/api/chat", {{"last-event-id", to_text(first_id) + ":1"}})->head.status,
            400);
}

} // namespace
} // namespace ovir::gateway
