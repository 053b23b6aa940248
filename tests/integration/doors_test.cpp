// Other APIs over real sockets: the same answer at each door, and limits that hold there.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <sstream>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using testing::HasSubstr;

constexpr auto cow_chat = R"("messages": [{"role": "user", "content": "What does a cow say?"}])";

class doors : public ::testing::Test {
protected:
  doors() {
    port_ = free_port();
    ollama_ = free_port();
    child_options options;
    options.deadline = std::chrono::hours{1};
    options.environment["OVIR_HOME"] = (folder_.path() / "state").string();
    server_.emplace(std::vector<std::string>{ovir_program(), "serve", "--http",
                                             fmt::format("127.0.0.1:{}", port_), "--ollama",
                                             fmt::format("127.0.0.1:{}", ollama_), "-t", "1"},
                    options);
    wait_until_ready(port_);
  }

  [[nodiscard]] plain_json told(std::string_view path, const std::string& body) const {
    const http_answer answer = http_ask(port_, "POST", path, body);
    EXPECT_EQ(answer.status, 200) << path << answer.body;
    return plain_json::parse(answer.body);
  }

  temporary_folder folder_;
  std::uint16_t port_{0};
  std::uint16_t ollama_{0};
  std::optional<child_process> server_;
};

TEST_F(doors, each_tells_the_same_answer_with_the_same_transcript) {
  const plain_json chat =
      told("/v1/chat/completions", fmt::format(R"({{"model": "embedded", {}, "max_tokens": 12,
                                                    "temperature": 0}})",
                                               cow_chat))["choices"][0];
  const plain_json message = told("/v1/messages", fmt::format(R"({{"model": "embedded", {},
      "max_tokens": 12, "temperature": 0}})",
                                                              cow_chat));
  EXPECT_EQ(message["content"][0]["text"], chat["message"]["content"]);
  EXPECT_EQ(message["ovir"]["transcript"], chat["ovir"]["transcript"]);
  const plain_json ollama = told("/api/chat", fmt::format(R"({{"model": "embedded:latest", {},
      "stream": false,
      "options": {{"num_predict": 12, "temperature": 0, "top_k": 0, "top_p": 1}}}})",
                                                          cow_chat));
  EXPECT_EQ(ollama["message"]["content"], chat["message"]["content"]);
  EXPECT_EQ(ollama["ovir"]["transcript"], chat["ovir"]["transcript"]);
  const plain_json response =
      told("/v1/responses", R"({"model": "embedded", "input": "What does a cow say?",
                                "max_output_tokens": 12, "temperature": 0})");
  EXPECT_EQ(response["output"][0]["content"][0]["text"], chat["message"]["content"]);
  EXPECT_EQ(response["ovir"]["transcript"], chat["ovir"]["transcript"]);
  const std::string path = "/v1/responses/" + response["id"].get<std::string>();
  EXPECT_EQ(plain_json::parse(http_ask(port_, "GET", path).body), response);
}

TEST_F(doors, streams_say_piece_by_piece_what_whole_answers_say) {
  const http_answer live = http_ask(
      port_, "POST", "/api/generate",
      R"({"model": "embedded", "prompt": "What does a cow say?", "options": {"num_predict": 12,
          "seed": 5}})");
  EXPECT_EQ(live.fields.at("content-type"), "application/x-ndjson");
  std::string text;
  std::istringstream lines{live.body};
  plain_json last;
  for (std::string line; std::getline(lines, line);) {
    last = plain_json::parse(line);
    text += last["response"].get<std::string>();
  }
  EXPECT_EQ(last["done"], true);
  EXPECT_GT(last["total_duration"], 0);
  EXPECT_EQ(told("/api/generate", R"({"model": "embedded", "prompt": "What does a cow say?",
      "stream": false, "options": {"num_predict": 12, "seed": 5}})")["response"],
            text);
  const http_answer message = http_ask(
      port_, "POST", "/v1/messages",
      fmt::format(R"({{"model": "embedded", {}, "max_tokens": 12, "stream": true}})", cow_chat));
  EXPECT_TRUE(message.body.starts_with("event: message_start\n"));
  EXPECT_TRUE(message.body.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

TEST_F(doors, conversations_of_several_kinds_of_turns_reach_a_model_without_a_place_for_them) {
  const http_answer message =
      http_ask(port_, "POST", "/v1/messages",
               fmt::format(R"({{"model": "embedded", "system": "Be kind.", {}, "max_tokens": 4}})",
                           cow_chat));
  EXPECT_EQ(message.status, 200) << message.body;
  EXPECT_EQ(message.fields.at("x-ovir-system"), "folded");
  const plain_json response =
      told("/v1/responses", R"({"model": "embedded", "max_output_tokens": 4, "input": [
        {"role": "system", "content": "Be kind."}, {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Moo?"},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "Moo!"}]})");
  EXPECT_EQ(response["usage"]["output_tokens"], 4);
}

TEST_F(doors, a_body_that_is_too_large_or_no_json_is_refused_at_each) {
  const std::string large(5U << 20U, ' ');
  for (const std::string path : {"/v1/messages", "/api/chat", "/v1/responses"}) {
    EXPECT_EQ(http_ask(port_, "POST", path, large).status, 413) << path;
    EXPECT_EQ(http_ask(port_, "POST", path, "{\"model\": \"embedded\", \"model\": 1}").status, 400)
        << path;
    EXPECT_EQ(http_ask(port_, "PUT", path, "{}").status, 405) << path;
  }
  const http_answer head = http_ask(port_, "GET", "/");
  EXPECT_EQ(head.body, "Ollama is running");
}

TEST_F(doors, the_node_listens_where_ollamas_clients_look_when_asked) {
  const http_answer tags = http_ask(ollama_, "GET", "/api/tags");
  EXPECT_EQ(plain_json::parse(tags.body)["models"][0]["name"], "embedded:latest");
  EXPECT_EQ(http_ask(port_, "GET", "/api/tags").body, tags.body);
}

} // namespace
} // namespace ovir::test
