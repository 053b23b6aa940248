// `ovir serve` over real sockets: answers, streams, resuming, keys and limits.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using testing::HasSubstr;

constexpr auto prompt = "Once upon a time";

class gateway : public ::testing::Test {
protected:
  void serve(std::vector<std::string> more = {}) {
    port_ = free_port();
    std::vector<std::string> all{
        ovir_program(), "serve", "--http", fmt::format("127.0.0.1:{}", port_), "-t", "1"};
    all.insert(all.end(), more.begin(), more.end());
    child_options options;
    options.deadline = std::chrono::hours{1};
    options.environment["OVIR_HOME"] = (folder_.path() / "state").string();
    server_.emplace(all, options);
    wait_until_ready(port_);
  }

  [[nodiscard]] http_answer ask(std::string_view method, std::string_view path,
                                std::string_view body = {}, http_fields fields = {}) const {
    if (!key_.empty()) {
      fields.emplace_back("Authorization", "Bearer " + key_);
    }
    return http_ask(port_, method, path, body, fields);
  }
  [[nodiscard]] http_answer complete(plain_json body, const http_fields& fields = {}) const {
    body["model"] = "embedded";
    return ask("POST", "/v1/completions", body.dump(), fields);
  }

  temporary_folder folder_;
  std::uint16_t port_{0};
  std::string key_;
  std::optional<child_process> server_;
};

std::string text_of(const std::vector<http_event>& events) {
  std::string text;
  for (const http_event& e : events) {
    if (e.data != "[DONE]") {
      const plain_json data = plain_json::parse(e.data);
      text += data["choices"].empty() ? "" : data["choices"][0].value("text", "");
    }
  }
  return text;
}

TEST_F(gateway, answers_what_ovir_run_answers_with_the_same_transcript) {
  const plain_json alone = ovir_json({"run", "-p", prompt, "-n", "24"});
  serve();
  const http_answer answer = complete({{"prompt", prompt}, {"max_tokens", 24}, {"temperature", 0}});
  ASSERT_EQ(answer.status, 200) << answer.body;
  const plain_json body = plain_json::parse(answer.body);
  EXPECT_EQ(body["choices"][0]["text"], alone["text"]);
  EXPECT_EQ(body["choices"][0]["ovir"]["transcript"], alone["transcript"]);
  EXPECT_EQ(answer.fields.at("x-ovir-transcript"), alone["transcript"]);
  EXPECT_EQ(body["usage"]["prompt_tokens"], alone["prompt_tokens"].size());
  EXPECT_EQ(body["usage"]["completion_tokens"], alone["tokens"].size());
}

TEST_F(gateway, a_stream_that_was_cut_goes_on_where_its_client_was) {
  serve();
  const plain_json body{
      {"model", "embedded"}, {"prompt", prompt}, {"max_tokens", 40}, {"seed", 5}, {"stream", true}};
  const http_answer whole = ask("POST", "/v1/completions", body.dump());
  ASSERT_EQ(whole.status, 200) << whole.body;
  EXPECT_THAT(whole.fields.at("content-type"), HasSubstr("text/event-stream"));
  const auto all = http_events(whole.body);
  ASSERT_GT(all.size(), 10U);
  EXPECT_EQ(all.back().data, "[DONE]");
  const std::string id = whole.fields.at("x-ovir-request");
  for (const std::size_t had : {std::size_t{0}, std::size_t{4}, all.size() - 2}) {
    const http_answer rest = ask("GET", "/v1/requests/" + id, {}, {{"Last-Event-ID", all[had].id}});
    ASSERT_EQ(rest.status, 200) << rest.body;
    const auto events = http_events(rest.body);
    ASSERT_EQ(events.size(), all.size() - had - 1) << "after event " << had;
    for (std::size_t i = 0; i < events.size(); ++i) {
      EXPECT_EQ(events[i].id, all[had + 1 + i].id);
      EXPECT_EQ(events[i].data, all[had + 1 + i].data);
    }
  }
  // The same by sending the request again: whoever has no record of it can do that, too.
  const http_answer again = ask("POST", "/v1/completions", body.dump(),
                                {{"X-OVIR-Request", id}, {"Last-Event-ID", all[4].id}});
  ASSERT_EQ(again.status, 200) << again.body;
  EXPECT_EQ(text_of(http_events(again.body)), text_of({all.begin() + 5, all.end()}));
  const http_answer other =
      ask("POST", "/v1/completions", plain_json{{"model", "embedded"}, {"prompt", "x"}}.dump(),
          {{"X-OVIR-Request", id}});
  EXPECT_NE(other.status, 200) << "another request under this id";
}

TEST_F(gateway, a_connection_lost_in_the_middle_loses_no_token) {
  serve();
  const plain_json body{{"model", "embedded"}, {"prompt", prompt}, {"max_tokens", 200},
                        {"temperature", 0},    {"stream", true},   {"stop", "\n\n\n\n"}};
  const auto expected = http_events(ask("POST", "/v1/completions", body.dump()).body);
  http_socket first{port_};
  first.send(http_text("POST", "/v1/completions", body.dump()));
  const std::string begun = first.read_until("id: ");
  const std::size_t at = begun.find("X-OVIR-Request: ") + 16;
  const std::string id = begun.substr(at, 16);
  first.close();
  const http_answer rest = ask("GET", "/v1/requests/" + id, {}, {{"Last-Event-ID", id + ":1"}});
  ASSERT_EQ(rest.status, 200) << rest.body;
  EXPECT_EQ(text_of(http_events(rest.body)), text_of({expected.begin() + 1, expected.end()}));
}

TEST_F(gateway, several_answers_differ_and_can_be_asked_for_again) {
  serve();
  const plain_json body{{"prompt", prompt}, {"max_tokens", 16}, {"n", 3}, {"seed", 11}};
  const plain_json first = plain_json::parse(complete(body).body);
  const plain_json second = plain_json::parse(complete(body).body);
  ASSERT_EQ(first["choices"].size(), 3U) << first.dump();
  EXPECT_NE(first["choices"][0]["text"], first["choices"][1]["text"]);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(first["choices"][i]["text"], second["choices"][i]["text"]);
  }
}

TEST_F(gateway, talks_with_the_model_inside_the_program) {
  serve();
  const http_answer answer = ask("POST", "/v1/chat/completions",
                                 R"({"model": "embedded",
          "messages": [{"role": "user", "content": "What sound does a cow make?"}],
          "temperature": 0, "max_tokens": 40})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const plain_json message = plain_json::parse(answer.body)["choices"][0]["message"];
  EXPECT_EQ(message["role"], "assistant");
  const plain_json alone =
      ovir_json({"run", "-p", "User: What sound does a cow make?\nAssistant:", "-n", "40"});
  EXPECT_EQ(message["content"], alone["text"]);
}

TEST_F(gateway, tells_the_embedded_model_what_the_system_says_in_the_users_turn) {
  serve();
  const http_answer answer = ask("POST", "/v1/chat/completions",
                                 R"({"model": "embedded", "temperature": 0, "max_tokens": 20,
          "messages": [{"role": "system", "content": "Be brief."},
                       {"role": "user", "content": "What sound does a cow make?", "name": null}],
          "seed": null, "stop": null, "tools": null, "metadata": {"a": "b"}})");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.fields.at("x-ovir-system"), "folded");
  const plain_json alone = ovir_json(
      {"run", "-p", "User: Be brief.\n\nWhat sound does a cow make?\nAssistant:", "-n", "20"});
  EXPECT_EQ(plain_json::parse(answer.body)["choices"][0]["message"]["content"], alone["text"]);
  const http_answer system =
      ask("POST", "/v1/chat/completions",
          R"({"model": "embedded", "messages": [{"role": "system", "content": "x"}]})");
  EXPECT_EQ(system.status, 400) << "there is no message of a user";
  EXPECT_EQ(plain_json::parse(system.body)["error"]["param"], "messages[0].role");
}

TEST_F(gateway, says_which_parameter_is_wrong_with_the_right_status) {
  serve();
  const auto error = [&](plain_json body) {
    const http_answer answer = complete(std::move(body));
    EXPECT_EQ(answer.status, 400) << answer.body;
    return plain_json::parse(answer.body)["error"].value("param", plain_json{});
  };
  EXPECT_EQ(error({{"prompt", prompt}, {"logprobs", 21}}), "logprobs");
  EXPECT_EQ(error({{"prompt", prompt}, {"max_tokens", 100'000}}), "prompt");
  EXPECT_EQ(error({{"prompt", {99'999}}}), "prompt");
  EXPECT_EQ(ask("POST", "/v1/completions", R"({"model": "gpt-9", "prompt": "x"})").status, 404);
  EXPECT_EQ(ask("POST", "/v1/completions", "{").status, 400);
  EXPECT_EQ(ask("GET", "/v1/completions").status, 405);
  EXPECT_EQ(ask("ET", "/v1/models").status, 405) << "a part of GET is no method";
  EXPECT_EQ(ask("GET", "/nowhere").status, 404);
  EXPECT_EQ(ask("POST", "/v1/completions", {}, {{"Content-Length", "0"}}).status, 415);
  EXPECT_EQ(ask("GET", "/v1/models", {}, {{"Origin", "https://page.example"}}).status, 403);
  EXPECT_EQ(complete({{"prompt", prompt}, {"max_tokens", 400}, {"deadline_ms", 1}}).status, 504);
  const plain_json models = plain_json::parse(ask("GET", "/v1/models").body);
  EXPECT_EQ(models["data"][0]["id"], "embedded");
  EXPECT_EQ(ask("GET", "/v1/models/embedded").status, 200);
}

TEST_F(gateway, opens_to_its_keys_alone_and_holds_their_limits) {
  const std::string file = (folder_.path() / "keys.json").string();
  const auto make = [&](std::vector<std::string> more) {
    std::vector<std::string> all{"key", "create", "-f", file};
    all.insert(all.end(), more.begin(), more.end());
    return ovir_json(all)["key"].get<std::string>();
  };
  const std::string ann = make({"ann"});
  const std::string poor = make({"poor", "--tokens-per-day", "20"});
  serve({"--keys", file});
  const plain_json body{{"prompt", prompt}, {"max_tokens", 8}};
  EXPECT_EQ(complete(body).status, 401);
  key_ = "sk-ovir-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  EXPECT_EQ(complete(body).status, 401);
  key_ = ann;
  const http_answer made = complete(body);
  EXPECT_EQ(made.status, 200) << made.body;
  const std::string anns = made.fields.at("x-ovir-request");
  key_ = poor;
  EXPECT_EQ(ask("GET", "/v1/requests/" + anns).status, 404) << "another key's request";
  EXPECT_EQ(complete(body).status, 200);
  const http_answer refused = complete(body);
  EXPECT_EQ(refused.status, 429) << refused.body;
  EXPECT_TRUE(refused.fields.contains("retry-after"));
  ASSERT_EQ(run_ovir({"key", "revoke", "-f", file, "ann"}).exit_code, 0);
  key_ = ann;
  while (ask("GET", "/v1/models").status == 200) { // it reads the file again by itself
  }
  EXPECT_EQ(ask("GET", "/v1/models").status, 401);
  for (const auto& entry : std::filesystem::recursive_directory_iterator{folder_.path()}) {
    if (entry.is_regular_file()) {
      EXPECT_EQ(read_file(entry.path()).find(ann.substr(8)), std::string::npos) << entry.path();
    }
  }
}

TEST_F(gateway, tells_prometheus_what_it_did) {
  serve();
  const auto value = [&](const std::string& sample) {
    const std::string page = ask("GET", "/metrics").body;
    const std::size_t at = page.find("\n" + sample + " ");
    return at == std::string::npos ? -1 : std::stod(page.substr(at + sample.size() + 2));
  };
  EXPECT_EQ(value("ovir_gateway_completion_tokens_total"), 0);
  ASSERT_EQ(complete({{"prompt", prompt}, {"max_tokens", 8}}).status, 200);
  EXPECT_EQ(value("ovir_gateway_completion_tokens_total"), 8);
  EXPECT_EQ(value("ovir_gateway_request_duration_seconds_count"), 1);
  EXPECT_GE(value("ovir_gateway_replies_total{status=\"200\"}"), 1);
}

TEST_F(gateway, without_keys_it_listens_on_this_machine_only) {
  const child_result refused = run_ovir({"serve", "--http", "0.0.0.0:0"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.err, HasSubstr("--keys"));
}

TEST_F(gateway, speaks_tls_with_the_certificate_it_is_given) {
  const std::string key = (folder_.path() / "key.pem").string();
  const std::string certificate = (folder_.path() / "certificate.pem").string();
  const child_result made =
      run_child({"/usr/bin/env", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=ovir",
                 "-keyout", key, "-out", certificate});
  ASSERT_EQ(made.exit_code, 0) << made.err;
  const child_result half = run_ovir({"serve", "--http", "127.0.0.1:0", "--tls-key", key});
  EXPECT_EQ(half.exit_code, 2) << half.err;
  const child_result swapped =
      run_ovir({"serve", "--http", "127.0.0.1:0", "--tls-key", certificate, "--tls-certificate",
                key, "--state", (folder_.path() / "other").string()});
  EXPECT_EQ(swapped.exit_code, 2) << swapped.err;
  port_ = free_port();
  child_options options;
  options.deadline = std::chrono::hours{1};
  options.environment["OVIR_HOME"] = (folder_.path() / "state").string();
  server_.emplace(std::vector<std::string>{ovir_program(), "serve", "--http",
                                           fmt::format("127.0.0.1:{}", port_), "-t", "1",
                                           "--tls-key", key, "--tls-certificate", certificate},
                  options);
  child_options client;
  client.input = http_text(
      "POST", "/v1/completions",
      plain_json{{"model", "embedded"}, {"prompt", prompt}, {"max_tokens", 8}, {"stream", true}}
          .dump(),
      {{"Connection", "close"}});
  child_result got;
  do { // until it listens and its node is there
    got = run_child({"/usr/bin/env", "openssl", "s_client", "-quiet", "-verify_return_error",
                     "-CAfile", certificate, "-connect", fmt::format("127.0.0.1:{}", port_)},
                    client);
  } while ((got.out.empty() || got.out.find("this node is being started") != std::string::npos) &&
           server_->running());
  EXPECT_THAT(got.out, HasSubstr("[DONE]")) << got.err;
  http_socket plain{port_};
  plain.send(http_text("GET", "/health"));
  EXPECT_EQ(plain.answer().status, 0) << "HTTP where TLS is spoken";
}

TEST_F(gateway, drains_what_is_under_way_when_it_is_told_to_end) {
  serve();
  http_socket socket{port_};
  socket.send(http_text("POST", "/v1/completions",
                        plain_json{{"model", "embedded"},
                                   {"prompt", prompt},
                                   {"max_tokens", 60},
                                   {"temperature", 0},
                                   {"stream", true}}
                            .dump()));
  (void)socket.read_until("id: ");
  server_->send_signal(SIGTERM);
  EXPECT_THAT(socket.answer().body, HasSubstr("[DONE]"));
  EXPECT_EQ(server_->wait().exit_code, 0);
}

} // namespace
} // namespace ovir::test
