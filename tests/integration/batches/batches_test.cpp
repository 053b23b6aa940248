// Files and batches over real sockets: processes that are killed, several keys, and bodies that are
// too large.
#include "messages/limits/batches.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_upload.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <csignal>
#include <set>
#include <sstream>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

plain_json body_of_line(std::uint32_t i) {
  return {{"model", "embedded"},
          {"prompt", fmt::format("Once upon a time there were {} cows", i)},
          {"max_tokens", 24},
          {"temperature", 0}};
}

std::string lines_of(std::uint32_t count) {
  std::string text;
  for (std::uint32_t i = 0; i < count; ++i) {
    text += plain_json{{"custom_id", fmt::format("line {}", i)},
                       {"method", "POST"},
                       {"url", "/v1/completions"},
                       {"body", body_of_line(i)}}
                .dump() +
            "\n";
  }
  return text;
}

/// A gateway's files and batches, as one client sees them.
struct batch_client {
  std::uint16_t port{0};
  http_fields fields{};

  [[nodiscard]] plain_json told(std::string_view method, const std::string& path,
                                const std::string& body = {}) const {
    const http_answer answer = http_ask(port, method, path, body, fields);
    EXPECT_EQ(answer.status, 200) << path << answer.body;
    return plain_json::parse(answer.body, nullptr, false);
  }
  [[nodiscard]] std::string upload(const std::string& content) const {
    const http_answer answer = http_upload(port, content, fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return plain_json::parse(answer.body).at("id");
  }
  [[nodiscard]] std::string begin(const std::string& file) const {
    return told("POST", "/v1/batches",
                plain_json{{"input_file_id", file},
                           {"endpoint", "/v1/completions"},
                           {"completion_window", "24h"}}
                    .dump())
        .at("id");
  }
  [[nodiscard]] plain_json batch(const std::string& id) const {
    return told("GET", "/v1/batches/" + id);
  }
  /// Looks until so many lines are done, or the batch is over.
  plain_json wait_for(const std::string& id, std::uint64_t done) const {
    for (;;) {
      plain_json now = batch(id);
      if (now.value("status", "completed") != "in_progress" && now["status"] != "validating") {
        return now;
      }
      if (now["request_counts"]["completed"].get<std::uint64_t>() >= done) {
        return now;
      }
    }
  }
  [[nodiscard]] std::vector<plain_json> content(const plain_json& file) const {
    const http_answer answer =
        http_ask(port, "GET", "/v1/files/" + file.get<std::string>() + "/content", {}, fields);
    EXPECT_EQ(answer.status, 200) << answer.body;
    std::vector<plain_json> all;
    std::istringstream in{answer.body};
    for (std::string one; std::getline(in, one);) {
      all.push_back(plain_json::parse(one));
    }
    return all;
  }
};

void expect_each_line_once(const batch_client& client, const std::string& id, std::size_t count) {
  const plain_json over = client.wait_for(id, count + 1);
  EXPECT_EQ(over["status"], "completed") << over;
  EXPECT_EQ(over["request_counts"]["completed"], count);
  const auto answers = client.content(over["output_file_id"]);
  EXPECT_EQ(answers.size(), count);
  std::set<std::string> names;
  for (const plain_json& one : answers) {
    names.insert(one["custom_id"]);
    EXPECT_EQ(one["response"]["status_code"], 200) << one;
  }
  EXPECT_EQ(names.size(), count) << "each line once";
  const plain_json& some = answers.at(answers.size() / 2);
  const std::string name = some["custom_id"];
  const auto index = static_cast<std::uint32_t>(std::stoul(name.substr(5)));
  const plain_json asked = client.told("POST", "/v1/completions", body_of_line(index).dump());
  EXPECT_EQ(some["response"]["body"]["choices"][0]["text"], asked["choices"][0]["text"]);
  EXPECT_EQ(some["response"]["body"]["choices"][0]["ovir"]["transcript"],
            asked["choices"][0]["ovir"]["transcript"]);
}

class batches_of_a_server : public ::testing::Test {
protected:
  batches_of_a_server() {
    for (const std::string name : {"ann", "bob"}) {
      keys_[name] =
          ovir_json({"key", "create", "-f", (folder_.path() / "keys").string(), name})["key"];
    }
    start();
  }
  void start() {
    port_ = free_port();
    child_options options;
    options.deadline = std::chrono::hours{1};
    options.environment["OVIR_HOME"] = (folder_.path() / "state").string();
    server_.emplace(std::vector<std::string>{ovir_program(), "serve", "--http",
                                             fmt::format("127.0.0.1:{}", port_), "-t", "1",
                                             "--keys", (folder_.path() / "keys").string()},
                    options);
    wait_until_ready(port_);
  }
  void kill() {
    server_->send_signal(SIGKILL);
    (void)server_->wait();
  }
  [[nodiscard]] batch_client client(const std::string& name) const {
    return {port_, {{"Authorization", "Bearer " + keys_.at(name)}}};
  }

  temporary_folder folder_;
  std::map<std::string, std::string> keys_;
  std::uint16_t port_{0};
  std::optional<child_process> server_;
};

TEST_F(batches_of_a_server, go_on_after_kill_9_and_do_no_line_twice) {
  constexpr std::uint32_t count = 60;
  const std::string id = client("ann").begin(client("ann").upload(lines_of(count)));
  kill(); // at once: what was acknowledged is there
  for (const std::uint64_t done : {5, 20}) {
    start();
    const plain_json now = client("ann").wait_for(id, done);
    EXPECT_EQ(now["status"], "in_progress") << "it was over before it was killed";
    kill();
  }
  start();
  expect_each_line_once(client("ann"), id, count);
  EXPECT_EQ(http_ask(port_, "GET", "/v1/batches/" + id, {}, client("bob").fields).status, 404);
  EXPECT_EQ(http_ask(port_, "GET", "/v1/batches/" + id).status, 401);
  EXPECT_TRUE(client("bob").told("GET", "/v1/files")["data"].empty());
}

TEST_F(batches_of_a_server, leave_room_for_who_waits_and_can_be_cancelled) {
  const std::string id = client("ann").begin(client("ann").upload(lines_of(400)));
  (void)client("ann").wait_for(id, 3);
  for (std::uint32_t i = 0; i < 5; ++i) { // of another key, while lines run
    (void)client("bob").told("POST", "/v1/completions", body_of_line(1'000 + i).dump());
  }
  EXPECT_EQ(client("ann").batch(id)["status"], "in_progress");
  EXPECT_EQ(client("ann").told("POST", "/v1/batches/" + id + "/cancel")["status"], "cancelling");
  plain_json now = client("ann").batch(id);
  while (now["status"] == "cancelling") {
    now = client("ann").batch(id);
  }
  EXPECT_EQ(now["status"], "cancelled");
  EXPECT_EQ(client("ann").content(now["output_file_id"]).size(),
            now["request_counts"]["completed"].get<std::size_t>());
}

TEST_F(batches_of_a_server, bound_uploads_before_they_are_read) {
  std::string large;
  while (large.size() < 5U << 20U) {
    large += lines_of(500);
  }
  const std::string file = client("ann").upload(large); // more than another body may have
  const http_answer told =
      http_ask(port_, "GET", "/v1/files/" + file + "/content", {}, client("ann").fields);
  EXPECT_TRUE(told.body == large);
  http_fields fields = client("ann").fields;
  fields.emplace_back("Content-Type", "multipart/form-data; boundary=frontier");
  const auto begun = [&](std::size_t length) {
    http_fields all = fields;
    all.emplace_back("Content-Length", std::to_string(length));
    all.emplace_back("Expect", "100-continue");
    return http_text("POST", "/v1/files", {}, all);
  };
  http_socket too_large{port_};
  too_large.send(begun(limits::upload_bytes_max + 1));
  EXPECT_EQ(too_large.answer().status, 413);
  std::vector<http_socket> open;
  for (std::size_t i = 0; i < limits::uploads_at_once; ++i) {
    open.emplace_back(port_).send(begun(limits::file_bytes_max));
    EXPECT_THAT(open.back().read_until("\r\n\r\n"), testing::HasSubstr("100 Continue"));
  }
  http_socket one_more{port_};
  one_more.send(begun(limits::file_bytes_max));
  EXPECT_EQ(one_more.answer().status, 503);
  EXPECT_EQ(http_upload(port_, lines_of(1), client("ann").fields).status, 200)
      << "a small one needs no such place";
  open.clear();
  int status = 503; // until the server saw that they are gone
  while (status == 503) {
    status = http_upload(port_, large, client("bob").fields).status;
  }
  EXPECT_EQ(status, 200);
}

TEST(batches_of_a_cluster, go_on_when_their_scheduler_is_killed_twice) {
  constexpr std::uint32_t count = 40;
  test_cluster cluster{{{{"front", {"scheduler"}, {{"embedded"}}},
                         {"left", {"worker"}, {{"embedded"}}},
                         {"right", {"worker"}, {{"embedded"}}}}}};
  const std::uint16_t port = free_port();
  write_file(cluster.config(0), read_file(cluster.config(0)) +
                                    fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", port));
  cluster.start();
  wait_until_ready(port);
  const batch_client client{port};
  const std::string id = client.begin(client.upload(lines_of(count)));
  for (const std::uint64_t done : {4, 16}) {
    EXPECT_EQ(client.wait_for(id, done)["status"], "in_progress");
    cluster.kill(0);
    cluster.start(0);
    wait_until_ready(port);
  }
  expect_each_line_once(client, id, count);
}

} // namespace
} // namespace ovir::test
