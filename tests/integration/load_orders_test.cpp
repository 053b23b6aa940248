// Layers that nobody holds any more: a request that lacks them waits, a worker with room is ordered
// to fetch them from others, and answers are those of a cluster that had them all the time.
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ovir::test {
namespace {

using apps::json;

constexpr std::uint32_t layers = 8;
constexpr std::chrono::seconds patience{120};

class load_orders : public ::testing::Test {
protected:
  load_orders() {
    compute::synth_spec large;
    large.layers = layers;
    large.dim = 512;
    large.ffn_dim = 2'048;
    large.heads = 8;
    large.kv_heads = 1;
    write_file(model_, synthetic_model(large));
  }

  /// Lines of [limits]: beside 9 MiB of half the model, a stage needs 27 MiB. So who holds a half
  /// has no room for another stage, and who holds nothing of the model has room for a half.
  static constexpr const char* room_for_one_stage = "memory_mib = 54\n";

  [[nodiscard]] cluster_node scheduler() const {
    return {"scheduler", {"scheduler"}, {{model_.string()}}};
  }
  [[nodiscard]] cluster_node worker(const std::string& name, const std::string& held) const {
    return {name,
            {"worker"},
            {held.empty() ? cluster_part{"embedded"} : cluster_part{model_.string(), held}}};
  }
  static json request(std::uint32_t max_tokens, std::uint64_t deadline_ms = 110'000) {
    static std::uint64_t last = 0;
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < 40; ++i) {
      tokens.push_back(3 + (i * 7919) % 250);
    }
    return {{"request", fmt::format("{:016x}", 0x2000 + ++last)},
            {"tokens", tokens},
            {"max_tokens", max_tokens},
            {"temperature", 0.8},
            {"seed", 11},
            {"deadline_ms", deadline_ms}};
  }
  static json ask(const test_cluster& cluster, const json& args) {
    cluster_shell shell = cluster.shell({0}, patience);
    const apps::shell_outcome outcome = shell.call("run", args);
    EXPECT_EQ(failure_text(outcome), "") << cluster.last_words();
    const auto* const data = std::get_if<json>(&outcome);
    return data == nullptr ? json::object() : *data;
  }
  /// What a cluster answers that holds everything.
  [[nodiscard]] json expected(std::uint32_t max_tokens) const {
    test_cluster whole{{.nodes = {scheduler(), worker("all", "0-7")}}};
    whole.start();
    return ask(whole, request(max_tokens));
  }
  static void expect_same(const json& told, const json& right) {
    for (const char* const key : {"text", "tokens", "transcript", "finish_reason"}) {
      EXPECT_EQ(told.at(key), right.at(key)) << key;
    }
  }
  static std::vector<std::string> names(const json& path) {
    std::vector<std::string> names;
    for (const json& stage : path) {
      names.push_back(fmt::format("{}:{}-{}", stage.at("name").get<std::string>(),
                                  stage.at("first_layer").get<int>(),
                                  stage.at("last_layer").get<int>()));
    }
    return names;
  }
  [[nodiscard]] static std::string log_of(const test_cluster& cluster, std::size_t node) {
    return read_file(cluster.folder() / (cluster.node(node).name + ".log"));
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
};

TEST_F(load_orders, what_nobody_holds_is_fetched_by_a_worker_with_room_while_the_request_waits) {
  const json right = expected(12);
  test_cluster cluster{{.nodes = {scheduler(), worker("front", "0-3"), worker("spare", "")},
                        .limits = room_for_one_stage}};
  cluster.start();
  const json told = ask(cluster, request(12));
  expect_same(told, right);
  EXPECT_EQ(names(told.at("path")), (std::vector<std::string>{"front:0-3", "spare:4-7"}));
  const json fetch = cluster.ask(2, "fetches").at("fetches").at(0);
  EXPECT_EQ(fetch.at("state"), "done") << fetch;
  EXPECT_EQ(fetch.at("first_layer"), 4);
  EXPECT_EQ(fetch.at("last_layer"), 7);
  EXPECT_EQ(fetch.at("verified_bytes"), fetch.at("bytes")) << fetch;
  // It holds them from now on: the next request waits for nothing, and nothing is ordered again.
  expect_same(ask(cluster, request(12)), right);
  EXPECT_EQ(cluster.ask(2, "fetches").at("fetches").size(), 1U);
  EXPECT_TRUE(cluster.ask(1, "fetches").at("fetches").empty());
}

TEST_F(load_orders, the_layers_of_a_holder_that_dies_amid_an_answer_go_to_another) {
  constexpr std::uint32_t tokens = 400;
  const json right = expected(tokens);
  test_cluster cluster{
      {.nodes = {scheduler(), worker("front", "0-3"), worker("back", "4-7"), worker("spare", "")},
       .limits = room_for_one_stage}};
  cluster.start();
  asked_request asked{cluster, {0}, request(tokens)};
  ASSERT_TRUE(asked.wait_for_tokens(10)) << asked.failure() << cluster.last_words();
  cluster.kill(2);
  const json told = asked.answer();
  ASSERT_EQ(asked.failure(), "") << asked.notes() << cluster.last_words();
  expect_same(told, right);
  EXPECT_EQ(names(told.at("path")), (std::vector<std::string>{"front:0-3", "spare:4-7"}));
}

TEST_F(load_orders, where_nobody_has_room_the_request_ends_at_its_deadline_and_says_so) {
  test_cluster cluster{{.nodes = {scheduler(), worker("front", "0-3"), worker("full", "0-3")},
                        .limits = room_for_one_stage}};
  cluster.start();
  cluster_shell shell = cluster.shell({0}, patience);
  const std::string why = failure_text(shell.call("run", request(4, 15'000)));
  EXPECT_THAT(why, ::testing::HasSubstr("nobody holds layers 4-7 of synthetic.gguf"));
  EXPECT_THAT(why, ::testing::HasSubstr("MiB, and at most"));
  EXPECT_TRUE(cluster.ask(2, "fetches").at("fetches").empty());
}

TEST_F(load_orders, a_node_that_takes_no_orders_says_so) {
  test_cluster cluster{{.nodes = {scheduler(), worker("front", "0-3"), worker("spare", "")},
                        .tables = "[fetch]\norders = false\n"}};
  cluster.start();
  cluster_shell shell = cluster.shell({0}, patience);
  const std::string why = failure_text(shell.call("run", request(4, 15'000)));
  EXPECT_THAT(why, ::testing::HasSubstr("nobody holds layers 4-7"));
  EXPECT_THAT(why, ::testing::HasSubstr("takes no orders"));
  EXPECT_TRUE(cluster.ask(2, "fetches").at("fetches").empty());
}

} // namespace
} // namespace ovir::test
