// Logprobs over HTTP: the same numbers whatever computed them, however often it changed hands, and
// whether the answer was known already.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

constexpr std::uint32_t layers = 8;

class logprobs : public ::testing::Test {
protected:
  logprobs() {
    compute::synth_spec spec;
    spec.layers = layers;
    spec.context = 2'048;
    spec.dim = 512; // so that an answer takes long enough for harm to be done
    write_file(model_, synthetic_model(spec));
  }

  /// Schedulers with gateways and workers, as many as there are ranges of layers.
  [[nodiscard]] cluster_spec spec(std::size_t schedulers, const std::vector<std::string>& parts) {
    cluster_spec out;
    for (std::size_t i = 0; i < schedulers; ++i) {
      out.nodes.push_back({fmt::format("s{}", i), {"scheduler"}, {{model_.string()}}});
    }
    for (const std::string& part : parts) {
      out.nodes.push_back(
          {fmt::format("w{}", out.nodes.size()), {"worker"}, {{model_.string(), part}}});
    }
    return out;
  }

  void start(test_cluster& cluster) {
    ports_.clear();
    for (const std::size_t i : cluster.with_role("scheduler")) {
      ports_.push_back(free_port());
      write_file(cluster.config(i),
                 read_file(cluster.config(i)) +
                     fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", ports_.back()));
    }
    cluster.start();
    for (const std::uint16_t port : ports_) {
      wait_until_ready(port);
    }
  }

  [[nodiscard]] static plain_json request(std::uint32_t max_tokens, bool wants = true) {
    plain_json body{
        {"model", "model.gguf"}, {"prompt", {5, 6, 7, 8, 9, 10}}, {"seed", 3}, {"top_k", 3},
        {"temperature", 0.9},    {"max_tokens", max_tokens}};
    if (wants) {
      body["logprobs"] = 4;
    }
    return body;
  }

  [[nodiscard]] static http_answer post(std::uint16_t port, const plain_json& body,
                                        const http_fields& fields = {}) {
    return http_ask(port, "POST", "/v1/completions", body.dump(), fields);
  }
  [[nodiscard]] static plain_json choice(std::uint16_t port, const plain_json& body) {
    const http_answer answer = post(port, body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? plain_json::parse(answer.body)["choices"][0]
                                : plain_json::object();
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "model.gguf";
  std::vector<std::uint16_t> ports_;
};

/// What the events of a stream say together.
plain_json joined(const std::vector<http_event>& events) {
  plain_json out{{"tokens", plain_json::array()},
                 {"token_logprobs", plain_json::array()},
                 {"top_logprobs", plain_json::array()},
                 {"text_offset", plain_json::array()}};
  for (const http_event& e : events) {
    if (e.data == "[DONE]") {
      continue;
    }
    const plain_json told = plain_json::parse(e.data)["choices"][0]["logprobs"];
    for (auto& [key, list] : out.items()) {
      if (!told.is_null()) {
        list.insert(list.end(), told[key].begin(), told[key].end());
      }
    }
  }
  return out;
}

TEST_F(logprobs, are_the_same_numbers_for_every_cut_and_way_to_ask) {
  plain_json alone;
  {
    test_cluster cluster{spec(1, {"0-7"})};
    start(cluster);
    alone = choice(ports_[0], request(40));
  }
  const plain_json& told = alone["logprobs"];
  ASSERT_GE(told["tokens"].size(), 30U) << alone.dump();
  EXPECT_EQ(told["top_logprobs"].size(), told["tokens"].size());
  for (std::size_t i = 0; i < told["tokens"].size(); ++i) {
    const double drawn = told["token_logprobs"][i];
    EXPECT_LE(drawn, 0);
    double sum = 0;
    for (const auto& [text, logprob] : told["top_logprobs"][i].items()) {
      sum += std::exp(logprob.get<double>());
    }
    EXPECT_LE(sum, 1 + 1e-5);
    EXPECT_EQ(told["top_logprobs"][i].at(told["tokens"][i]), drawn);
  }
  test_cluster cluster{spec(1, {"0-2", "3-4", "5-7"})};
  start(cluster);
  const plain_json cut = choice(ports_[0], request(40));
  EXPECT_EQ(cut["logprobs"], told);
  EXPECT_EQ(cut["ovir"]["transcript"], alone["ovir"]["transcript"]);
  plain_json body = request(40);
  EXPECT_EQ(choice(ports_[0], request(40, false))["text"], alone["text"]) << "asking changes it";
  body["stream"] = true;
  EXPECT_EQ(joined(http_events(post(ports_[0], body).body)), told);
  plain_json signed_one = request(40);
  signed_one["receipt"] = true;
  EXPECT_EQ(choice(ports_[0], signed_one)["logprobs"], told);
  plain_json greedy = request(40);
  greedy["temperature"] = 0;
  const plain_json likeliest = choice(ports_[0], greedy)["logprobs"];
  for (std::size_t i = 0; i < likeliest["tokens"].size(); ++i) {
    const double drawn = likeliest["token_logprobs"][i];
    for (const auto& [text, logprob] : likeliest["top_logprobs"][i].items()) {
      EXPECT_LE(logprob, drawn) << text << " is likelier than what a greedy draw took";
    }
  }
}

TEST_F(logprobs, of_an_answer_that_is_kept_are_computed_and_never_left_out) {
  cluster_spec with_cache = spec(1, {"0-3", "4-7"});
  with_cache.cache = "enabled = true";
  test_cluster cluster{with_cache};
  start(cluster);
  const plain_json plain = choice(ports_[0], request(80, false));
  const plain_json again = choice(ports_[0], request(80, false)); // from the cache by now
  ASSERT_EQ(again["text"], plain["text"]);
  const plain_json told = choice(ports_[0], request(80));
  EXPECT_EQ(told["text"], plain["text"]);
  EXPECT_EQ(told["ovir"]["transcript"], plain["ovir"]["transcript"]);
  ASSERT_GE(told["logprobs"]["tokens"].size(), 70U);
  plain_json other = request(80);
  other["user"] = "another"; // the same request, asked again
  EXPECT_EQ(choice(ports_[0], other)["logprobs"], told["logprobs"]);
  test_cluster fresh{spec(1, {"0-7"})};
  start(fresh);
  EXPECT_EQ(choice(ports_[0], request(80))["logprobs"], told["logprobs"]);
}

TEST_F(logprobs, go_on_at_another_gateway_when_that_of_the_client_is_killed) {
  test_cluster cluster{spec(2, {"0-3", "4-7"})};
  start(cluster);
  plain_json body = request(1'500);
  const plain_json expected = choice(ports_[1], body)["logprobs"];
  const std::size_t tokens = expected["tokens"].size();
  ASSERT_GE(tokens, 300U) << "choose another seed: there is no time to do harm";
  body["stream"] = true;
  const std::string id = "00000000000abcde";
  http_socket first{ports_[0]};
  first.send(http_text("POST", "/v1/completions", body.dump(), {{"X-OVIR-Request", id}}));
  const std::string begun = first.read_until(id + ":40\n");
  cluster.kill(0);
  const http_answer rest =
      post(ports_[1], body, {{"X-OVIR-Request", id}, {"Last-Event-ID", id + ":39"}});
  ASSERT_EQ(rest.status, 200) << rest.body << cluster.last_words();
  const auto events = http_events(rest.body);
  ASSERT_GE(events.size(), tokens - 39);
  EXPECT_EQ(events.front().id, id + ":40");
  EXPECT_THAT(read_file(cluster.folder() / "s1.log"), testing::HasSubstr("goes on here, after"));
  plain_json told = joined(events);
  for (auto& [key, list] : told.items()) {
    plain_json end = expected[key];
    end.erase(end.begin(), end.begin() + 39);
    EXPECT_EQ(list, end) << key;
  }
}

} // namespace
} // namespace ovir::test
