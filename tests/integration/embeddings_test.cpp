// Embeddings over HTTP: the same vectors for every cut, and when a node is lost meanwhile.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cmath>
#include <future>

namespace ovir::test {
namespace {

using plain_json = nlohmann::json;

class embeddings : public ::testing::Test {
protected:
  embeddings() {
    compute::synth_spec spec;
    spec.layers = 8;
    spec.context = 2'048;
    spec.dim = 512;
    write_file(model_, synthetic_model(spec));
  }

  [[nodiscard]] cluster_spec spec(const std::vector<std::string>& parts) const {
    cluster_spec out;
    out.nodes.push_back({"s", {"scheduler"}, {{model_.string()}}});
    for (const std::string& part : parts) {
      out.nodes.push_back(
          {fmt::format("w{}", out.nodes.size()), {"worker"}, {{model_.string(), part}}});
    }
    out.cache = "enabled = true";
    return out;
  }

  void start(test_cluster& cluster) {
    port_ = free_port();
    write_file(cluster.config(0),
               read_file(cluster.config(0)) +
                   fmt::format("\n[gateway]\nlisten = \"127.0.0.1:{}\"\n", port_));
    cluster.start();
    wait_until_ready(port_);
  }

  /// A text of so many tokens.
  [[nodiscard]] static plain_json text(std::uint32_t tokens, std::uint32_t salt) {
    plain_json ids = plain_json::array();
    for (std::uint32_t i = 0; i < tokens; ++i) {
      ids.push_back(3 + (i * 7'919 + salt * 31) % 250);
    }
    return ids;
  }
  [[nodiscard]] http_answer post(plain_json body, const http_fields& fields = {}) const {
    body["model"] = "model.gguf";
    return http_ask(port_, "POST", "/v1/embeddings", body.dump(), fields);
  }
  [[nodiscard]] plain_json data(const plain_json& body) const {
    const http_answer answer = post(body);
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? plain_json::parse(answer.body)["data"] : plain_json::array();
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "model.gguf";
  std::uint16_t port_{0};
};

TEST_F(embeddings, are_the_same_vectors_for_every_cut_and_form_of_the_question) {
  plain_json inputs = plain_json::array();
  for (const std::uint32_t tokens : {1U, 2U, 31U, 32U, 33U, 200U, 700U}) {
    inputs.push_back(text(tokens, tokens));
  }
  std::map<std::string, plain_json> alone;
  {
    test_cluster cluster{spec({"0-7"})};
    start(cluster);
    for (const std::string pooling : {"mean", "last"}) {
      alone[pooling] = data({{"input", inputs}, {"pooling", pooling}});
      ASSERT_EQ(alone[pooling].size(), inputs.size());
      for (const plain_json& one : alone[pooling]) {
        ASSERT_EQ(one["embedding"].size(), 512U);
        double length = 0;
        for (const double x : one["embedding"]) {
          length += x * x;
        }
        EXPECT_NEAR(length, 1, 1e-5);
      }
    }
    EXPECT_EQ(alone["mean"][0]["embedding"], alone["last"][0]["embedding"]) << "of one position";
    EXPECT_NE(alone["mean"][3]["embedding"], alone["last"][3]["embedding"]);
  }
  test_cluster cluster{spec({"0-2", "3-4", "5-7"})};
  start(cluster);
  for (int again = 0; again < 2; ++again) { // windows may come from the cache by then
    for (const std::string pooling : {"mean", "last"}) {
      const plain_json cut = data({{"input", inputs}, {"pooling", pooling}});
      ASSERT_EQ(cut.size(), inputs.size());
      for (std::size_t i = 0; i < cut.size(); ++i) {
        EXPECT_EQ(cut[i]["embedding"], alone[pooling][i]["embedding"]) << pooling << " of " << i;
        EXPECT_EQ(cut[i]["index"], i);
      }
    }
  }
  // The same text, alone and by default.
  EXPECT_EQ(data({{"input", inputs[4]}})[0]["embedding"], alone["mean"][4]["embedding"]);
  EXPECT_EQ(data({{"input", "Once upon a time"}})[0]["embedding"],
            data({{"input", plain_json::array({"Once upon a time"})}})[0]["embedding"]);
}

TEST_F(embeddings, are_right_when_a_worker_is_killed_meanwhile) {
  test_cluster cluster{spec({"0-3", "4-7", "0-3", "4-7"})};
  start(cluster);
  plain_json inputs = plain_json::array();
  for (std::uint32_t i = 0; i < 20; ++i) {
    inputs.push_back(text(1'000 + i, i));
  }
  const plain_json expected = data({{"input", inputs}});
  auto asked = std::async(std::launch::async, [&] { return post({{"input", inputs}}); });
  std::string last;
  ASSERT_TRUE(cluster.wait_until([&] {
    const plain_json jobs = cluster.ask(0, "jobs").at("jobs");
    for (const plain_json& job : jobs) {
      if (job["state"] == "prefill" && !job["path"].empty()) {
        last = job["path"].back()["name"];
      }
    }
    return !last.empty();
  }));
  cluster.kill(cluster.index_of(last));
  const http_answer answer = asked.get();
  ASSERT_EQ(answer.status, 200) << answer.body << cluster.last_words();
  const plain_json got = plain_json::parse(answer.body)["data"];
  ASSERT_EQ(got.size(), inputs.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i]["embedding"], expected[i]["embedding"]) << i;
  }
}

TEST_F(embeddings, that_cannot_be_made_are_refused_by_name) {
  test_cluster cluster{spec({"0-7"})};
  start(cluster);
  const auto refused = [&](const plain_json& body) {
    const http_answer answer = post(body);
    EXPECT_EQ(answer.status, 400) << answer.body;
    return plain_json::parse(answer.body)["error"]["param"];
  };
  EXPECT_EQ(refused({{"input", text(2'049, 1)}}), "input");
  EXPECT_EQ(refused({{"input", plain_json::array({1, 1'000'000})}}), "input");
  EXPECT_EQ(refused({{"input", "x"}, {"dimensions", 32'000}}), "dimensions");
  const auto whole = data({{"input", "x"}})[0]["embedding"].get<std::vector<float>>();
  const auto part =
      data({{"input", "x"}, {"dimensions", 64}})[0]["embedding"].get<std::vector<float>>();
  double squares = 0;
  for (std::size_t i = 0; i < 64; ++i) {
    squares += static_cast<double>(whole.at(i)) * static_cast<double>(whole.at(i));
  }
  ASSERT_EQ(part.size(), 64U);
  for (std::size_t i = 0; i < 64; ++i) {
    EXPECT_EQ(part[i], static_cast<float>(static_cast<double>(whole[i]) / std::sqrt(squares)));
  }
  EXPECT_EQ(data({{"input", text(2'048, 1)}}).size(), 1U) << "all that the model sees";
}

} // namespace
} // namespace ovir::test
