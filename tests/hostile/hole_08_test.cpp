// Clients of every door who know another one's request by id, event id and body: they read, resume,
// cancel and list as receipts what is theirs, and of others nothing, not even whether it is there.
#include "tests/hostile/hostile_orders.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/http_client.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <future>

namespace ovir::test {
namespace {

using apps::json;

constexpr std::uint32_t long_answer = 400;
constexpr auto asked_id = "00000000000a11ce"; // of the shell that is attacked

class hole_08 : public hostile_orders {
protected:
  void SetUp() override {
    for (std::uint16_t& port : http_) {
      port = free_port();
    }
    for (const std::string name : {"ann", "bob", "eve"}) {
      keys_[name] = ovir_json({"key", "create", "-f", key_file(), name, "--role", "infer,metrics"})
                        .at("key")
                        .get<std::string>();
    }
    hostile_orders::SetUp();
    for (const std::uint16_t port : http_) {
      wait_until_ready(port);
    }
  }

  /// A gateway at both schedulers, with one file of keys.
  [[nodiscard]] std::string tables_of(std::size_t node) const override {
    return node == front ? std::string{}
                         : fmt::format("[gateway]\nlisten = \"127.0.0.1:{}\"\nkeys = \"{}\"\n"
                                       "resume_ms = 100\n",
                                       http_.at(node == head ? 0 : 1), key_file());
  }
  [[nodiscard]] std::string key_file() const { return (key_folder_.path() / "keys").string(); }

  [[nodiscard]] http_fields as(const std::string& name, http_fields more = {}) const {
    more.emplace_back("Authorization", "Bearer " + keys_.at(name));
    return more;
  }
  [[nodiscard]] http_answer ask(std::size_t gateway, const std::string& name, const json& body,
                                http_fields more = {}) const {
    return http_ask(http_.at(gateway), "POST", "/v1/completions", body.dump(),
                    as(name, std::move(more)));
  }
  [[nodiscard]] http_answer get(std::size_t gateway, const std::string& name,
                                const std::string& path, const char* method = "GET") const {
    return http_ask(http_.at(gateway), method, path, {}, as(name));
  }
  [[nodiscard]] static json body_of(std::uint32_t max_tokens, json more = json::object()) {
    more.update({{"model", "synthetic.gguf"}, {"prompt", {7, 8, 9}}, {"max_tokens", max_tokens}});
    return more;
  }
  [[nodiscard]] static std::string transcript_of(const http_answer& answer, std::size_t i = 0) {
    EXPECT_EQ(answer.status, 200) << answer.body;
    return json::parse(answer.body)["choices"][i]["ovir"]["transcript"];
  }
  [[nodiscard]] static json shell_run(const std::string& id, std::uint32_t max_tokens) {
    return {{"request", id}, {"tokens", {3, 1, 4, 1, 5}}, {"max_tokens", max_tokens}};
  }
  [[nodiscard]] json run(const json& arguments, const std::string& command = "run") const {
    const apps::shell_outcome outcome = cluster_->shell({head}).call(command, arguments);
    EXPECT_EQ(failure_text(outcome), "");
    const auto* const data = std::get_if<json>(&outcome);
    return data != nullptr ? *data : json::object();
  }
  [[nodiscard]] int under_way(std::size_t gateway) const {
    const std::string page = get(gateway, "eve", "/metrics").body;
    const std::string line = "\novir_gateway_requests_under_way ";
    const std::size_t at = page.find(line);
    return at == std::string::npos ? -1 : std::stoi(page.substr(at + line.size()));
  }

  temporary_folder key_folder_;
  std::array<std::uint16_t, 2> http_{}; ///< of head and back
  std::map<std::string, std::string> keys_;
};

TEST_F(hole_08, a_key_neither_reads_nor_stops_the_request_of_a_shell_whose_id_it_knows) {
  const json expected = run(shell_run("00000000000000e0", long_answer));
  const json small = body_of(2, {{"temperature", 0}});
  const std::string own = transcript_of(ask(0, "eve", small));
  json begun = shell_run(asked_id, long_answer);
  begun["wait"] = false;
  (void)run(begun);
  // Its shell listens from now on: of those that ended, a node tells limits::jobs_kept_max only.
  std::future<json> seen = std::async(std::launch::async, [&] {
    return run({{"request", asked_id}}, "attach");
  });
  const http_fields named{{"Last-Event-ID", fmt::format("{}:0", asked_id)}};
  EXPECT_EQ(transcript_of(ask(0, "eve", small, named)), own)
      << "the answer of a shell's request was told to a key";
  // Disconnecting ends what the key itself began, and nothing else.
  json wanted = body_of(long_answer, {{"temperature", 0}, {"stream", true}});
  wanted["prompt"] = {3, 1, 4, 1, 5};
  {
    http_socket leaves{http_[0]};
    leaves.send(http_text("POST", "/v1/completions", wanted.dump(), as("bob", named)));
    EXPECT_THAT(leaves.read_until("data: "), testing::HasSubstr("200 OK"));
  }
  EXPECT_TRUE(cluster_->wait_until([&] { return under_way(0) == 0; })) << "was not given up";
  const json told = seen.get();
  EXPECT_EQ(told.value("finish_reason", json{}), expected.at("finish_reason"));
  EXPECT_EQ(told.value("tokens", json{}), expected.at("tokens"));
  EXPECT_EQ(told.value("transcript", json{}), expected.at("transcript"));
}

TEST_F(hole_08, a_key_is_told_of_another_keys_request_what_it_is_told_of_none) {
  const json sampled = body_of(24, {{"temperature", 1}, {"n", 2}, {"receipt", true}});
  const http_answer anns = ask(0, "ann", sampled);
  const std::string first = transcript_of(anns);
  const std::string second = transcript_of(anns, 1);
  const std::string id = anns.fields.at("x-ovir-request");
  const std::string other = json::parse(anns.body)["choices"][1]["ovir"]["request"];
  for (const std::size_t gateway : {0U, 1U}) {
    // Her exact request under her id: it becomes eve's own, with a seed of its own.
    const http_answer again =
        ask(gateway, "eve", sampled, {{"X-OVIR-Request", id}, {"Last-Event-ID", id + ":0,0"}});
    EXPECT_NE(transcript_of(again), first) << "a sampled answer was told to another key";
    EXPECT_NE(transcript_of(again, 1), second);
    // Her second answer has an id of its own.
    json one = sampled;
    one.erase("n");
    EXPECT_NE(transcript_of(ask(gateway, "bob", one, {{"Last-Event-ID", other + ":0"}})), second)
        << "a second answer was told to another key";
    for (const char* const method : {"GET", "DELETE"}) {
      for (const std::string path : {"/v1/requests/", "/v1/receipts/"}) {
        if (path == "/v1/receipts/" && std::string{method} == "DELETE") {
          continue;
        }
        const http_answer foreign = get(gateway, "bob", path + id, method);
        EXPECT_EQ(foreign.status, 404);
        EXPECT_EQ(foreign.body, get(gateway, "bob", path + "0123456789abcdef", method).body);
      }
    }
  }
  const http_answer receipt = get(0, "ann", "/v1/receipts/" + other);
  EXPECT_EQ(receipt.status, 200);
  EXPECT_NE(receipt.body, get(0, "eve", "/v1/receipts/" + other).body);
  // Her own way back, here and at the other gateway.
  for (const std::size_t gateway : {0U, 1U}) {
    EXPECT_EQ(transcript_of(ask(gateway, "ann", sampled, {{"X-OVIR-Request", id}})), first);
  }
}

TEST_F(hole_08, another_shell_neither_reads_nor_stops_a_request_whose_id_it_knows) {
  const json expected = run(shell_run("00000000000000e1", long_answer));
  json begun = shell_run(asked_id, long_answer);
  begun["wait"] = false;
  begun["receipt"] = true;
  (void)run(begun);
  hostile_shell operating = shell(head, attacker::operating);
  for (const char* const command : {"attach", "receipt", "cancel"}) {
    const json told = operating.ask(command, {{"request", asked_id}});
    EXPECT_EQ(told["error"].value("code", ""), "not_found") << command << ": " << told;
    EXPECT_EQ(operating.ask(command, {{"request", "0123456789abcdef"}})["error"].value("code", ""),
              "not_found");
  }
  // What `jobs` lists says which requests run; that id reads nothing either.
  const json jobs = operating.ask("jobs");
  for (const json& job : jobs.at("data").at("jobs")) {
    for (const char* const command : {"attach", "receipt"}) {
      const json told = operating.ask(command, {{"request", job.at("request")}});
      EXPECT_EQ(told["error"].value("code", ""), "not_found") << command << ": " << told;
    }
  }
  const json seen = run({{"request", asked_id}}, "attach");
  EXPECT_EQ(seen.value("tokens", json{}), expected.at("tokens"));
  EXPECT_EQ(seen.value("finish_reason", json{}), expected.at("finish_reason"));
}

TEST_F(hole_08, a_member_who_knows_the_clusters_id_stops_no_stream) {
  const json wanted = body_of(long_answer, {{"temperature", 0}});
  const std::string expected = transcript_of(ask(0, "ann", wanted));
  json streamed = wanted;
  streamed["stream"] = true;
  http_socket ann{http_[0]};
  ann.send(http_text("POST", "/v1/completions", streamed.dump(), as("ann")));
  const std::string begun = ann.read_until("data: ");
  const std::size_t at = begun.find("X-OVIR-Job: ");
  ASSERT_NE(at, std::string::npos) << begun;
  const request_id job{std::stoull(begun.substr(at + 12, 16), nullptr, 16)};
  hostile_member at_head = member(head, attacker::scheduler);
  hostile_member at_front = member(front, attacker::scheduler);
  for (hostile_member* const liar : {&at_head, &at_front}) {
    for (const actors::wire_message& message : every_kind(job, 0)) {
      if (!std::holds_alternative<actors::wire_open>(message.body)) {
        ASSERT_TRUE(liar->wire(message));
      }
    }
  }
  const http_answer whole = ann.answer();
  const auto events = http_events(whole.body);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.back().data, "[DONE]");
  ASSERT_GT(events.size(), 1U);
  const json last = json::parse(events[events.size() - 2].data);
  EXPECT_EQ(last["choices"][0]["ovir"]["transcript"], expected) << last;
  EXPECT_EQ(get(0, "eve", fmt::format("/v1/requests/{:016x}", job.value)).status, 404);
}

} // namespace
} // namespace ovir::test
