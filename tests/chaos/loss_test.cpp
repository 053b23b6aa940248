// What a cluster of processes does when nodes go: waits, hands over, goes on, says what is absent.
#include "tests/chaos/chaos_run.hpp"
#include "tests/support/cluster/asked_request.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

namespace ovir::chaos {
namespace {

using test::asked_request;
using test::test_cluster;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr std::uint32_t long_answer = 400;

/// The model and a few answers of one process, made once for all tests.
class losses : public ::testing::Test {
protected:
  static void SetUpTestSuite() {
    shared_folder = new test::temporary_folder;
    shared_model =
        new std::string{make_drill_model((shared_folder->path() / "drill.gguf").string())};
    shared_answers =
        new std::vector<expected_answer>{make_workload(*shared_model, 4, long_answer, 5)};
  }
  static void TearDownTestSuite() {
    delete shared_answers;
    delete shared_model;
    delete shared_folder;
  }

  static test::cluster_node scheduler(const std::string& name) {
    return {name, {"scheduler"}, {{*shared_model}}};
  }
  static test::cluster_node worker(const std::string& name, const std::string& layers) {
    return {name, {"worker"}, {{*shared_model, layers}}};
  }
  /// The longest of the answers: there is time to do harm.
  static const expected_answer& long_one() {
    return *std::max_element(
        shared_answers->begin(), shared_answers->end(),
        [](const auto& a, const auto& b) { return a.tokens.size() < b.tokens.size(); });
  }
  static void expect_right(asked_request& asked, const expected_answer& wanted,
                           const test_cluster& cluster) {
    const apps::json data = asked.answer();
    ASSERT_EQ(asked.failure(), "") << asked.notes() << cluster.last_words();
    EXPECT_EQ(difference(wanted, data), "") << asked.notes() << cluster.last_words();
  }

  static inline test::temporary_folder* shared_folder{nullptr};
  static inline std::string* shared_model{nullptr};
  static inline std::vector<expected_answer>* shared_answers{nullptr};
};

TEST_F(losses, too_few_nodes_are_a_clear_error_at_the_deadline) {
  test_cluster cluster{{.nodes = {scheduler("s"), worker("a", "0-3"), worker("b", "4-7")}}};
  cluster.start();
  cluster.kill(2);
  apps::json arguments = long_one().arguments;
  arguments["deadline_ms"] = 1'500;
  asked_request asked{cluster, {0}, arguments};
  EXPECT_TRUE(asked.answer().is_null());
  EXPECT_THAT(asked.failure(), StartsWith("timed_out")) << cluster.last_words();
  EXPECT_THAT(asked.failure(), HasSubstr("layer")) << "it does not say what is missing";
}

TEST_F(losses, a_request_waits_and_ends_well_when_the_node_returns) {
  test_cluster cluster{{.nodes = {scheduler("s"), worker("a", "0-3"), worker("b", "4-7")}}};
  cluster.start();
  asked_request asked{cluster, {0}, long_one().arguments};
  ASSERT_TRUE(asked.wait_for_tokens(10)) << asked.failure() << cluster.last_words();
  cluster.kill(2);
  cluster.start(2);
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, nobody_notices_that_a_worker_is_killed) {
  test_cluster cluster{{.nodes = {scheduler("s"), worker("a", "0-3"), worker("b", "4-7"),
                                  worker("c", "2-5"), worker("d", "0-3"), worker("e", "4-7")}}};
  cluster.start();
  asked_request asked{cluster, {0}, long_one().arguments};
  ASSERT_TRUE(asked.wait_for_tokens(10)) << asked.failure() << cluster.last_words();
  const apps::json jobs = cluster.ask(0, "jobs").at("jobs");
  ASSERT_FALSE(jobs.empty());
  const std::string last = jobs.front().at("path").back().at("name");
  cluster.kill(cluster.index_of(last));
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, another_scheduler_goes_on_where_the_lead_is_killed) {
  test_cluster cluster{
      {.nodes = {scheduler("s1"), scheduler("s2"), worker("a", "0-3"), worker("b", "4-7")}}};
  cluster.start();
  asked_request asked{cluster, {0, 1}, long_one().arguments};
  ASSERT_TRUE(asked.wait_for_tokens(10)) << asked.failure() << cluster.last_words();
  cluster.kill(0);
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, a_request_outlives_all_processes) {
  test_cluster cluster{{.nodes = {scheduler("s"), worker("a", "0-3"), worker("b", "4-7")}}};
  cluster.start();
  asked_request asked{cluster, {0}, long_one().arguments};
  ASSERT_TRUE(asked.wait_for_tokens(10)) << asked.failure() << cluster.last_words();
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    cluster.kill(i);
  }
  cluster.start();
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, sigterm_hands_a_workers_requests_over) {
  test_cluster cluster{{.nodes = {scheduler("s"), worker("a", "0-3"), worker("b", "4-7"),
                                  worker("c", "0-3"), worker("d", "4-7")}}};
  cluster.start();
  asked_request asked{cluster, {0}, long_one().arguments};
  ASSERT_TRUE(asked.wait_for_tokens(10)) << asked.failure() << cluster.last_words();
  const apps::json jobs = cluster.ask(0, "jobs").at("jobs");
  ASSERT_FALSE(jobs.empty());
  const std::string last = jobs.front().at("path").back().at("name");
  const test::child_result ended = cluster.terminate(cluster.index_of(last));
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, sigterm_lets_a_schedulers_requests_end) {
  test_cluster cluster{
      {.nodes = {scheduler("s1"), scheduler("s2"), worker("a", "0-3"), worker("b", "4-7")}}};
  cluster.start();
  asked_request asked{cluster, {0, 1}, long_one().arguments};
  ASSERT_TRUE(asked.wait_for_tokens(10)) << asked.failure() << cluster.last_words();
  const test::child_result ended = cluster.terminate(0);
  EXPECT_EQ(ended.exit_code, 0) << ended.err;
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, one_shell_orders_every_node) {
  test_cluster cluster{{.nodes = {scheduler("s"), worker("a", "0-7"), worker("b", "0-7")}}};
  cluster.start();
  const auto order = [&](const std::string& line) {
    return test::run_ovir({"shell", "--connect", cluster.admin_address(0), "--key",
                           cluster.admin_key(), "--json", "-e", line});
  };
  const auto delayed = order("chaos delay a --ms 60");
  ASSERT_EQ(delayed.exit_code, 0) << delayed.err << cluster.last_words();
  const auto is_far = [&] {
    const apps::json known = cluster.ask(0, "nodes");
    for (const apps::json& n : known.at("nodes")) {
      if (n.at("name") == "a" && n.at("rtt_ms").is_number() && n.at("rtt_ms") >= 20.0) {
        return true;
      }
    }
    return false;
  };
  EXPECT_TRUE(cluster.wait_until(is_far)) << cluster.ask(0, "nodes").dump();
  EXPECT_EQ(order("chaos delay a --ms 0").exit_code, 0);
  const auto drained = order("drain b");
  EXPECT_EQ(drained.exit_code, 0) << drained.err;
  EXPECT_TRUE(cluster.wait_until([&] { return !cluster.running(2); })) << cluster.last_words();
  EXPECT_TRUE(cluster.running(1));
  asked_request asked{cluster, {0}, long_one().arguments};
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, a_second_process_on_the_same_state_is_refused) {
  test_cluster cluster{{.nodes = {scheduler("s"), worker("a", "0-7")}}};
  cluster.start();
  const test::child_result second = test::run_ovir({"node", "-c", cluster.config(1).string()});
  EXPECT_TRUE(second.exit_code == 3 || second.exit_code == 4) << second.err;
  EXPECT_THAT(second.err, HasSubstr(cluster.state(1).string()));
  asked_request asked{cluster, {0}, long_one().arguments};
  expect_right(asked, long_one(), cluster);
}

TEST_F(losses, two_schedulers_never_contradict_each_other) {
  test_cluster cluster{
      {.nodes = {scheduler("s1"), scheduler("s2"), worker("a", "0-3"), worker("b", "4-7")}}};
  cluster.start();
  for (std::size_t i = 0; i < shared_answers->size(); ++i) {
    apps::json arguments = (*shared_answers)[i].arguments;
    arguments["request"] = "00000000000000a" + std::to_string(i);
    asked_request one{cluster, {0, 1}, arguments};
    asked_request other{cluster, {1, 0}, arguments};
    expect_right(one, (*shared_answers)[i], cluster);
    expect_right(other, (*shared_answers)[i], cluster);
  }
}

TEST_F(losses, nodes_join_by_token_and_again_without_it) {
  test_cluster cluster{
      {.nodes = {scheduler("s"), worker("a", "0-3"), worker("b", "4-7")}, .joins_by_token = true}};
  cluster.start();
  cluster.kill(1);
  cluster.start(1);
  cluster.wait_until_whole();
  asked_request asked{cluster, {0}, long_one().arguments};
  expect_right(asked, long_one(), cluster);
}

} // namespace
} // namespace ovir::chaos
