// Endpoints without keys are asked by names of their own alone, whatever the path; limits of keys
// hold over the end of the process.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <csignal>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;
using testing::HasSubstr;

constexpr auto three_tokens = R"({"model": "embedded", "prompt": [5, 6], "max_tokens": 1})";

class hole_17 : public ::testing::Test {
protected:
  void serve(std::vector<std::string> more = {}) {
    port_ = free_port();
    std::vector<std::string> all{
        ovir_program(), "serve", "--http", fmt::format("127.0.0.1:{}", port_), "-t", "1"};
    all.insert(all.end(), more.begin(), more.end());
    start(all);
    wait_until_ready(port_);
  }
  void start(const std::vector<std::string>& arguments) {
    child_options options;
    options.deadline = std::chrono::hours{1};
    options.environment["OVIR_HOME"] = state().string();
    server_.reset();
    server_.emplace(arguments, options);
  }
  [[nodiscard]] std::filesystem::path state() const { return folder_.path() / "state"; }
  [[nodiscard]] std::string spend_file() const { return (state() / "api-key-spend").string(); }

  /// The status of what is asked with these fields alone.
  [[nodiscard]] static int status(std::uint16_t port, const std::string& line,
                                  const std::string& fields, const std::string& body = {}) {
    http_socket socket{port};
    socket.send(fmt::format("{} HTTP/1.1\r\n{}Content-Type: application/json\r\nContent-Length: {}"
                            "\r\n\r\n{}",
                            line, fields, body.size(), body));
    return socket.answer().status;
  }

  std::string make_key(const std::string& name, std::vector<std::string> more) {
    std::vector<std::string> all{"key", "create", "-f", (folder_.path() / "keys").string(), name};
    all.insert(all.end(), more.begin(), more.end());
    return ovir_json(all)["key"];
  }
  [[nodiscard]] http_answer complete(const std::string& key) const {
    return http_ask(port_, "POST", "/v1/completions", three_tokens,
                    {{"Authorization", "Bearer " + key}});
  }
  void expect_refused(const std::string& key, const std::string& code) const {
    const http_answer answer = complete(key);
    EXPECT_EQ(answer.status, 429) << answer.body;
    EXPECT_THAT(answer.body, HasSubstr(code));
  }
  void die() {
    server_->send_signal(SIGKILL);
    (void)server_->wait();
  }

  temporary_folder folder_;
  std::uint16_t port_{0};
  std::optional<child_process> server_;
};

TEST_F(hole_17, a_name_that_leads_here_reads_no_path_of_an_endpoint_without_keys) {
  serve({"--allow-host", "models.example"});
  const std::vector<std::string> lines{"GET /health",
                                       "GET /ready",
                                       "GET /metrics",
                                       "GET /v1/models",
                                       "GET /v1/models/embedded",
                                       "GET /v1/requests/0123456789abcdef",
                                       "DELETE /v1/requests/0123456789abcdef",
                                       "GET /v1/receipts/0123456789abcdef",
                                       "GET /console/",
                                       "GET /v1/cluster/nodes",
                                       "GET /nowhere",
                                       "POST /v1/completions"};
  for (const std::string& line : lines) {
    const std::string body = line.starts_with("POST") ? three_tokens : "";
    for (const std::string host :
         {"evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.example.org:1",
          "localhost.evil.example", "[::1].evil.example", "[evil]", "127.1", "1.2.3.4.5", ""}) {
      EXPECT_EQ(status(port_, line, "Host: " + host + "\r\n", body), 403) << line << ' ' << host;
    }
    EXPECT_EQ(status(port_, line, "Host: localhost\r\nOrigin: http://evil.example\r\n", body), 403)
        << line;
    for (const std::string& host :
         {fmt::format("127.0.0.1:{}", port_), std::string{"LocalHost"},
          fmt::format("[{}]:80", "::1"), std::string{"models.example:80"}}) {
      EXPECT_NE(status(port_, line, "Host: " + host + "\r\n", body), 403) << line << ' ' << host;
    }
  }
}

TEST_F(hole_17, a_name_that_leads_here_reads_no_metrics) {
  const std::uint16_t port = free_port();
  write_file(folder_.path() / "node.toml",
             fmt::format("name = \"n\"\ncluster = \"c\"\nroles = [\"worker\"]\n"
                         "listen = \"127.0.0.1:0\"\nadmin_listen = \"127.0.0.1:0\"\n"
                         "state = \"state\"\n[[model]]\npath = \"embedded\"\n"
                         "[metrics]\nlisten = \"127.0.0.1:{}\"\nhosts = [\"count.example\"]\n",
                         port));
  start({ovir_program(), "node", "-c", (folder_.path() / "node.toml").string()});
  const auto asked = [&](const std::string& fields) {
    while (server_->running()) {
      try {
        const int seen = status(port, "GET /metrics", fields);
        if (seen != 503 && seen != 0) {
          return seen;
        }
      } catch (const std::runtime_error&) { // it does not listen yet
      }
    }
    return 0;
  };
  EXPECT_EQ(asked("Host: localhost\r\n"), 200);
  EXPECT_EQ(asked("Host: count.example\r\n"), 200);
  EXPECT_EQ(asked("Host: evil.example\r\n"), 403);
  EXPECT_EQ(asked("Host: 127.0.0.1\r\nOrigin: http://evil.example\r\n"), 403);
}

TEST_F(hole_17, a_name_that_begins_like_an_address_of_this_machine_is_none) {
  for (const std::string address : {"127.example.org:0", "127.0.0.1.example.org:0", "127.1:0"}) {
    const child_result child = run_ovir({"serve", "--http", address});
    EXPECT_NE(child.exit_code, 0);
    EXPECT_THAT(child.err, HasSubstr("without --keys everybody may ask")) << address;
  }
}

TEST_F(hole_17, what_a_key_spent_stays_spent_when_the_process_is_killed) {
  const std::string daily = make_key("daily", {"--tokens-per-day", "3"});
  const std::string rated = make_key("rated", {"--requests-per-minute", "1"});
  const std::vector<std::string> with_keys{"--keys", (folder_.path() / "keys").string()};
  serve(with_keys);
  EXPECT_EQ(complete(daily).status, 200);
  die(); // at once
  serve(with_keys);
  expect_refused(daily, "insufficient_quota");
  EXPECT_EQ(complete(rated).status, 200);
  const auto lines = [&] {
    const std::string text = read_file(spend_file());
    return std::count(text.begin(), text.end(), '\n');
  };
  while (lines() < 5) {
  }
  die();
  serve(with_keys);
  expect_refused(daily, "insufficient_quota");
  expect_refused(rated, "rate_limit_exceeded");
}

TEST_F(hole_17, what_keys_spent_is_not_taken_for_nothing_where_its_file_is_damaged) {
  const std::string daily = make_key("daily", {"--tokens-per-day", "1000"});
  const std::string free = make_key("free", {});
  const std::vector<std::string> with_keys{"--keys", (folder_.path() / "keys").string()};
  serve(with_keys);
  EXPECT_EQ(complete(daily).status, 200);
  die();
  std::string text = read_file(spend_file());
  text[text.find("closed") + 10] ^= 1; // one bit
  write_file(spend_file(), text);
  for (int life = 0; life < 2; ++life) { // the second reads what the first wrote
    serve(with_keys);
    expect_refused(daily, "insufficient_quota");
    EXPECT_EQ(complete(free).status, 200);
    server_->send_signal(SIGTERM);
    const std::string said = server_->wait().err;
    EXPECT_EQ(said.find("api-key-spend") != std::string::npos, life == 0) << said;
  }
}

} // namespace
} // namespace ovir::test
