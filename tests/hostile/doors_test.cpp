// Clients of the other APIs that mean no good: each body is refused by what it says, costs next to
// nothing, and an honest client is served beside it.
#include "messages/limits/gateway.hpp"
#include "tests/hostile/hostile_gateway.hpp"

#include <nlohmann/json.hpp>

#include <array>

namespace ovir::test {
namespace {

using nlohmann::json;

constexpr std::array doors{
    "/v1/messages", "/v1/messages/count_tokens", "/v1/responses", "/api/chat", "/api/generate",
    "/api/embed",   "/api/embeddings",           "/api/show",     "/api/pull"};
/// Of those, where there is a conversation.
constexpr std::array talking{"/v1/messages", "/v1/responses", "/api/chat"};

std::string times(std::string_view what, std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) {
    all += what;
  }
  return all;
}

/// A conversation of one door, of these messages.
std::string conversation(std::string_view door, const std::string& messages,
                         const std::string& more = "") {
  return fmt::format(R"({{"model": "embedded", "max_tokens": 2, {}"{}": [{}]}})",
                     more.empty() ? "" : more + ", ",
                     door == "/v1/responses" ? "input" : "messages", messages);
}

class hostile_doors : public hostile_gateway {
protected:
  /// Refused for what it is, and not by an accident of the node.
  void expect_refused(std::string_view door, const std::string& body) const {
    const http_answer answer = http_ask(port_, "POST", std::string{door}, body);
    EXPECT_GE(answer.status, 400) << door << ' ' << body.substr(0, 80);
    EXPECT_LT(answer.status, 500) << door << ' ' << body.substr(0, 80);
    const json said = json::parse(answer.body, nullptr, false);
    EXPECT_TRUE(said.is_object() && said.contains("error")) << door << ' ' << answer.body;
  }
  [[nodiscard]] http_answer respond(const std::string& more) const {
    return http_ask(port_, "POST", "/v1/responses",
                    R"({"model": "embedded", "input": "Once", "max_output_tokens": 2)" + more +
                        "}");
  }
  [[nodiscard]] static std::string id_of(const http_answer& answer) {
    return json::parse(answer.body).at("id").get<std::string>();
  }
};

TEST_F(hostile_doors, what_is_no_body_of_theirs_is_refused) {
  const std::string bad_text = "{\"model\": \"\xff\xfe\xc0\x80\"}";
  const std::vector<std::string> bodies{"[]",
                                        "5",
                                        "{",
                                        "\"text\"",
                                        R"({"model": 5})",
                                        R"({"model": {"model": "embedded"}})",
                                        R"({"model": "embedded", "model": 7})",
                                        R"({"model": "no such model", "max_tokens": 1})",
                                        R"({"model": "embedded", "stream": "yes"})",
                                        R"({"model": "embedded", "messages": {"role": "user"}})",
                                        bad_text,
                                        times("[", 1'000'000),
                                        times("{\"model\":", 100'000),
                                        std::string(1'000, '\0')};
  for (const char* const door : doors) {
    for (const std::string& body : bodies) {
      expect_refused(door, body);
    }
    EXPECT_EQ(http_ask(port_, "POST", door, std::string((1U << 20U) + 1, ' ')).status, 413) << door;
  }
}

TEST_F(hostile_doors, conversations_of_many_parts_cost_no_more_than_their_bytes) {
  const std::string deep = times(R"({"a":[)", 20'000);
  for (const char* const door : talking) {
    const auto refuse = [&](const std::string& messages, const std::string& more = "") {
      expect_refused(door, conversation(door, messages, more));
    };
    // As many as fit: more than the model sees.
    std::string many = R"({"role": "user", "content": "Once"})";
    many += times(R"(, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"})",
                  12'000);
    refuse(many);
    refuse(times(R"({"role": "user"},)", 50'000) + R"({"role": "user"})");
    refuse(R"({"role": "user", "content": [)" + times(R"({"type": "text"},)", 50'000) +
           R"({"type": "text", "text": 5}]})");
    refuse(R"({"role": "user", "content": [)" + times("[", 100'000));
    // Calls and results that belong to none.
    refuse(R"({"role": "tool", "content": "x", "tool_call_id": "1"})");
    refuse(R"({"role": "user", "content": [)" +
           times(R"({"type": "tool_result", "tool_use_id": "t", "content": "x"},)", 10'000) +
           R"({"type": "tool_result", "tool_use_id": "t", "content": "x"}]})");
    refuse(times(R"({"type": "function_call_output", "call_id": "c", "output": "x"},)", 10'000) +
           R"({"type": "function_call_output", "call_id": "c", "output": "x"})");
    // Schemas: too deep, too large, of themselves.
    const std::string asks = R"({"role": "user", "content": "Once"})";
    refuse(asks, R"("tools": [)" + deep);
    refuse(asks, R"("tools": [)" + times("{},", 100'000) + "{}]");
    refuse(asks, R"("format": )" + deep);
    refuse(asks, R"("tools": [{"type": "function", "name": "f", "function": {"name": "f",
        "parameters": {"$ref": "#"}}, "parameters": {"$ref": "#"},
        "input_schema": {"$ref": "#"}}])");
    refuse(asks, R"("stop_sequences": [)" + times(R"("a",)", 100'000) + R"("a"], "stop": 5)");
  }
}

// Objects that keep the order of their members look through all of them for each.
TEST_F(hostile_doors, settings_by_the_thousand_are_refused_before_they_are_kept) {
  std::string options;
  for (int i = 0; i < 40'000; ++i) {
    options += fmt::format(R"("o{}": 1, )", i);
  }
  for (const char* const door : doors) {
    const http_answer answer = http_ask(port_, "POST", door, "{" + options + R"("model": ""})");
    EXPECT_NE(answer.body.find("more than 1024 members"), std::string::npos) << door;
  }
  for (const char* const door : {"/api/chat", "/api/generate"}) {
    const auto with = [&](const std::string& what) {
      return R"({"model": "embedded", "prompt": "Once", "messages": [], "options": {)" + what +
             "}}";
    };
    expect_refused(door, with(options + R"("x": 1)"));
    expect_refused(door, with(R"("num_predict": 1e400)"));
    expect_refused(door, with(R"("temperature": "hot")"));
    expect_refused(door, with(R"("top_k": -18446744073709551616)"));
  }
}

TEST_F(hostile_doors, kept_responses_are_bounded_and_the_oldest_goes_first) {
  const std::string first = id_of(respond(""));
  EXPECT_EQ(http_ask(port_, "GET", "/v1/responses/" + first).status, 200);
  std::string last;
  for (std::size_t i = 0; i < limits::api_answers_kept_max; ++i) {
    last = id_of(respond(""));
  }
  EXPECT_EQ(http_ask(port_, "GET", "/v1/responses/" + first).status, 404);
  EXPECT_EQ(http_ask(port_, "GET", "/v1/responses/" + last).status, 200);
  EXPECT_GE(respond(fmt::format(R"(, "previous_response_id": "{}")", first)).status, 400);
}

TEST_F(hostile_doors, a_chain_of_responses_ends_where_the_model_sees_no_further) {
  http_answer answer = respond("");
  int links = 0;
  while (answer.status == 200 && links < 1'000) {
    ++links;
    answer = respond(fmt::format(R"(, "previous_response_id": "{}")", id_of(answer)));
  }
  EXPECT_EQ(answer.status, 400) << links;
}

TEST_F(hostile_doors, names_of_responses_that_are_none_are_unknown) {
  const std::string known = id_of(respond(""));
  const std::vector<std::string> names{"..",
                                       "../requests/1",
                                       "%2e%2e%2f",
                                       "%00",
                                       "resp_" + std::string(5'000, 'a'),
                                       known + "0",
                                       known.substr(1),
                                       "resp_" + std::string(64, 'f')};
  for (const std::string& name : names) {
    for (const char* const verb : {"GET", "DELETE"}) {
      const int status = http_ask(port_, verb, "/v1/responses/" + name).status;
      EXPECT_GE(status, 400) << name;
      EXPECT_LT(status, 500) << name;
    }
    EXPECT_GE(respond(fmt::format(R"(, "previous_response_id": "{}")", name)).status, 400) << name;
  }
  EXPECT_EQ(http_ask(port_, "DELETE", "/v1/responses/" + known).status, 200);
  EXPECT_EQ(http_ask(port_, "GET", "/v1/responses/" + known).status, 404);
}

TEST_F(hostile_doors, who_leaves_in_the_middle_of_a_stream_leaves_nothing_behind) {
  for (const char* const door : talking) {
    for (int i = 0; i < 8; ++i) {
      http_socket gone{port_};
      gone.send(http_text(
          "POST", door,
          conversation(door, R"({"role": "user", "content": "Once"})", R"("stream": true)")));
      (void)gone.read_until("\n");
    }
  }
  while (metric("connections") > 1) {
    expect_service();
  }
}

} // namespace
} // namespace ovir::test
