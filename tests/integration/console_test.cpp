// What the console shows, and to whom: /v1/cluster/ and /console/ over real sockets.
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

class console : public ::testing::Test {
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

  [[nodiscard]] http_answer look(std::string_view path, const http_fields& fields = {}) const {
    return http_ask(port_, "GET", path, {}, fields);
  }
  [[nodiscard]] std::string key(const std::string& name, const std::string& roles) const {
    return ovir_json(
        {"key", "create", "-f", (folder_.path() / "keys").string(), name, "--role", roles})["key"];
  }
  /// A request as it is written, whose Host is `host`.
  [[nodiscard]] int status_named(std::string_view host, std::string_view path,
                                 const http_fields& fields = {}) const {
    std::string text = fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n", path, host);
    for (const auto& [name, value] : fields) {
      text += fmt::format("{}: {}\r\n", name, value);
    }
    http_socket socket{port_};
    EXPECT_TRUE(socket.send(text + "\r\n"));
    return socket.answer().status;
  }

  temporary_folder folder_;
  std::uint16_t port_{0};
  std::optional<child_process> server_;
};

TEST_F(console, shows_what_a_shell_that_looks_sees) {
  serve();
  for (const auto& [path, key] : std::map<std::string, std::string>{{"version", "protocol"},
                                                                    {"nodes", "nodes"},
                                                                    {"models", "models"},
                                                                    {"tree", "tree"},
                                                                    {"jobs", "jobs"},
                                                                    {"plan?context=64", "stages"},
                                                                    {"fetches", "fetches"},
                                                                    {"cache", "enabled"},
                                                                    {"history", "samples"}}) {
    const http_answer seen = look("/v1/cluster/" + path);
    ASSERT_EQ(seen.status, 200) << path << seen.body;
    EXPECT_TRUE(plain_json::parse(seen.body).contains(key)) << path << seen.body;
    EXPECT_EQ(seen.fields.at("cache-control"), "no-store");
  }
  EXPECT_EQ(look("/v1/cluster/ledger").status, 404) << "this node uses none";
  EXPECT_EQ(look("/v1/cluster/drain").status, 404) << "an order is nothing to look at";
  EXPECT_EQ(look("/v1/cluster/plan?context=x").status, 400);
  EXPECT_EQ(look("/v1/cluster/jobs/0123456789abcdef").status, 404);
  EXPECT_EQ(http_ask(port_, "POST", "/v1/cluster/nodes", "{}").status, 405);
}

TEST_F(console, says_which_path_computed_an_answer_and_what_was_kept) {
  serve();
  const plain_json body{{"model", "embedded"},
                        {"prompt", "Once upon a time"},
                        {"max_tokens", 24},
                        {"temperature", 0}};
  const auto ask = [&] {
    const http_answer seen = http_ask(port_, "POST", "/v1/completions", body.dump());
    EXPECT_EQ(seen.status, 200) << seen.body;
    return std::pair{seen.fields.at("x-ovir-job"), plain_json::parse(seen.body)};
  };
  const auto [first, answer] = ask();
  plain_json job = plain_json::parse(look("/v1/cluster/jobs/" + first).body)["job"];
  ASSERT_EQ(job["paths"].size(), 1U) << job;
  EXPECT_EQ(job["paths"][0]["from"], 0);
  EXPECT_EQ(job["paths"][0]["path"][0]["name"], "serve");
  EXPECT_EQ(job["answer_reused"], false);
  EXPECT_EQ(job["transcript"], answer["choices"][0]["ovir"]["transcript"]);
  const auto [second, again] = ask();
  job = plain_json::parse(look("/v1/cluster/jobs/" + second).body)["job"];
  EXPECT_EQ(job["answer_reused"], true) << job;
  EXPECT_TRUE(job["paths"].empty()) << job;
  EXPECT_EQ(again["choices"][0]["text"], answer["choices"][0]["text"]);
}

TEST_F(console, tells_whoever_watches_what_is_and_what_changes) {
  serve();
  for (const std::string event :
       {"nodes\ndata: {\"nodes\":[", "tree\ndata: {\"tree\":{", "jobs\ndata: {\"jobs\":[]}"}) {
    http_socket reader{port_};
    ASSERT_TRUE(reader.send(http_text("GET", "/v1/cluster/events")));
    const std::string seen = reader.read_until("event: " + event);
    EXPECT_THAT(seen, HasSubstr("text/event-stream"));
    EXPECT_THAT(seen, HasSubstr("event: " + event));
  }
}

TEST_F(console, is_for_keys_that_may_look) {
  const std::string reader = key("reader", "reader");
  const std::string asker = key("asker", "infer");
  serve({"--keys", (folder_.path() / "keys").string()});
  const auto status = [&](const std::string& with) {
    return look("/v1/cluster/nodes", {{"Authorization", "Bearer " + with}}).status;
  };
  EXPECT_EQ(look("/v1/cluster/nodes").status, 401);
  EXPECT_EQ(status("sk-ovir-wrong"), 401);
  EXPECT_EQ(status(asker), 403);
  EXPECT_EQ(status(reader), 200);
  EXPECT_EQ(http_ask(port_, "POST", "/v1/completions", R"({"model": "embedded", "prompt": "a"})",
                     {{"Authorization", "Bearer " + reader}})
                .status,
            403);
  EXPECT_EQ(look("/console/").status, 200) << "the page alone says nothing";
  // With keys, a name of one's own may lead here.
  EXPECT_EQ(
      status_named("ovir.example", "/v1/cluster/nodes", {{"Authorization", "Bearer " + reader}}),
      200);
}

TEST_F(console, is_for_pages_of_its_own_origin_alone) {
  serve();
  const std::string own = fmt::format("127.0.0.1:{}", port_);
  EXPECT_EQ(status_named(own, "/v1/cluster/nodes", {{"Origin", "http://" + own}}), 200);
  EXPECT_EQ(status_named(own, "/v1/models", {{"Origin", "http://" + own}}), 200);
  EXPECT_EQ(status_named(own, "/v1/cluster/nodes", {{"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(status_named(own, "/v1/models", {{"Origin", "http://evil.example"}}), 403);
  EXPECT_EQ(status_named(own, "/v1/cluster/nodes", {{"Origin", "null"}}), 403);
  // A name that somebody makes lead here is no address of this machine.
  const std::string rebound = fmt::format("evil.example:{}", port_);
  EXPECT_EQ(status_named(rebound, "/v1/cluster/nodes"), 403);
  EXPECT_EQ(status_named(rebound, "/v1/models", {{"Origin", "http://" + rebound}}), 403);
}

TEST_F(console, serves_its_page_with_a_policy_that_lets_nothing_else_in) {
  serve();
  const http_answer page = look("/console/");
  ASSERT_EQ(page.status, 200);
  EXPECT_EQ(page.body, read_file(source_file("gateway/console/page/index.html")));
  EXPECT_THAT(page.fields.at("content-security-policy"), HasSubstr("default-src 'none'"));
  EXPECT_EQ(page.fields.at("x-content-type-options"), "nosniff");
  EXPECT_EQ(look("/console").status, 308);
  EXPECT_EQ(look("/console/../node.key").status, 404);
  for (const auto& entry :
       std::filesystem::directory_iterator{source_file("gateway/console/page")}) {
    const std::string name = entry.path().filename().string();
    if (name == "index.html") {
      continue;
    }
    const http_answer file = look("/console/" + name);
    EXPECT_EQ(file.status, 200) << name;
    EXPECT_EQ(file.body, read_file(entry.path())) << name;
  }
}

} // namespace
} // namespace ovir::test
