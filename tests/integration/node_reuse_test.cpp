// What nodes compute once they use again: whole answers and prefixes, from memory and disk, over
// restarts. Every answer has the transcript of one that was computed from the beginning.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <vector>

namespace ovir::test {
namespace {

constexpr std::uint32_t layers = 8;
constexpr std::uint32_t prompt_tokens = 100; // three whole windows

class node_reuse : public ::testing::Test {
protected:
  node_reuse() {
    compute::synth_spec spec;
    spec.layers = layers;
    write_file(model_, synthetic_model(spec));
  }

  /// A scheduler and a worker for each range of layers.
  [[nodiscard]] cluster_spec spec(const std::vector<std::string>& parts,
                                  const std::string& cache) const {
    cluster_spec out;
    out.nodes.push_back({"scheduler", {"scheduler"}, {{model_.string()}}});
    for (std::size_t i = 0; i < parts.size(); ++i) {
      out.nodes.push_back({fmt::format("worker-{}", i), {"worker"}, {{model_.string(), parts[i]}}});
    }
    out.cache = cache;
    return out;
  }

  /// `salt` makes another prompt.
  static apps::json request(std::uint32_t salt, std::uint32_t max_tokens,
                            const std::string& cache = "default") {
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < prompt_tokens; ++i) {
      tokens.push_back(3 + (i * 7919 + salt * 31) % 250);
    }
    return {{"tokens", tokens}, {"max_tokens", max_tokens}, {"cache", cache}};
  }

  static apps::json ask(const test_cluster& cluster, apps::json args) {
    static std::uint64_t last = 0;
    args["request"] = fmt::format("{:016x}", 0x1000 + ++last);
    cluster_shell shell = cluster.shell({0});
    const apps::shell_outcome outcome = shell.call("run", args);
    EXPECT_EQ(failure_text(outcome), "") << cluster.last_words();
    const auto* const data = std::get_if<apps::json>(&outcome);
    return data == nullptr ? apps::json::object() : *data;
  }

  static std::uint64_t units(const apps::json& data, const char* where) {
    return data.at("units").at(where).get<std::uint64_t>();
  }
  static std::uint64_t reused(const apps::json& data) {
    return units(data, "memory") + units(data, "disk") + units(data, "peer");
  }
  static void expect_same(const apps::json& told, const apps::json& expected) {
    for (const char* const key : {"text", "tokens", "transcript", "finish_reason"}) {
      EXPECT_EQ(told.at(key), expected.at(key)) << key;
    }
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "model.gguf";
};

TEST_F(node_reuse, the_same_request_again_is_not_computed_also_after_every_node_was_killed) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  const apps::json cold = ask(cluster, request(1, 40, "off"));
  EXPECT_EQ(reused(cold), 0U);
  const apps::json kept = ask(cluster, request(1, 40));
  EXPECT_EQ(reused(kept), 0U) << "a request that keeps nothing left something";
  expect_same(kept, cold);
  const apps::json again = ask(cluster, request(1, 40));
  expect_same(again, cold);
  EXPECT_EQ(again.at("answer_reused"), true);
  EXPECT_EQ(units(again, "computed"), 0U);
  EXPECT_EQ(units(again, "memory"), units(cold, "computed"));
  // Nothing is acknowledged of what is kept, so it may need a moment to be on the disk.
  ASSERT_TRUE(cluster.wait_until([&] { return cluster.ask(0, "cache").at("unwritten") == 0; }));
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    cluster.kill(i);
  }
  cluster.start();
  const apps::json restarted = ask(cluster, request(1, 40));
  expect_same(restarted, cold);
  EXPECT_EQ(restarted.at("answer_reused"), true);
  EXPECT_EQ(units(restarted, "disk"), units(cold, "computed"));
}

TEST_F(node_reuse, a_shared_prefix_is_taken_from_memory_and_from_disk_after_a_restart) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  const apps::json first = ask(cluster, request(2, 8));
  const std::uint64_t prefix = (prompt_tokens - 1) / 32 * layers;
  // Another length: no answer to it is known, but that it begins like the first.
  apps::json drawn = request(2, 12);
  drawn["temperature"] = 0.8;
  drawn["seed"] = 7;
  apps::json computed = drawn;
  computed["cache"] = "off";
  const apps::json cold = ask(cluster, computed);
  const apps::json warm = ask(cluster, drawn);
  expect_same(warm, cold);
  EXPECT_EQ(units(warm, "memory"), prefix);
  EXPECT_EQ(units(warm, "computed") + prefix, units(cold, "computed"));
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    EXPECT_EQ(cluster.terminate(i).exit_code, 0); // writes down what waits
  }
  cluster.start();
  drawn["seed"] = 8;
  computed["seed"] = 8;
  const apps::json restarted = ask(cluster, drawn);
  EXPECT_EQ(units(restarted, "disk"), prefix);
  expect_same(restarted, ask(cluster, computed));
}

TEST_F(node_reuse, what_one_left_another_finds_only_where_it_was_public) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  const apps::json mine = ask(cluster, request(3, 8));
  EXPECT_EQ(ask(cluster, request(3, 8, "public")).at("answer_reused"), false);
  const apps::json everybodys = ask(cluster, request(3, 8, "public"));
  EXPECT_EQ(everybodys.at("answer_reused"), true);
  expect_same(everybodys, mine);
  EXPECT_EQ(cluster.ask(0, "cache").at("answers"), 1);
}

} // namespace
} // namespace ovir::test
