// Nodes as processes whose links go over QUIC, on this machine's loopback.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <variant>
#include <vector>

namespace ovir::test {
namespace {

void set_transports(const test_cluster& cluster, const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    std::ofstream{cluster.config(i), std::ios::app}
        << fmt::format("\n[link]\ntransport = \"{}\"\n", words.at(i));
  }
}

cluster_spec split_in_two() {
  cluster_spec spec;
  spec.nodes = {{"front", {"scheduler"}, {{"embedded"}}},
                {"left", {"worker"}, {{"embedded", "0-1"}}},
                {"right", {"worker"}, {{"embedded", "2-3"}}}};
  return spec;
}

/// The transcript of an answer that must come.
std::string transcript_of(const test_cluster& cluster, const std::string& id,
                          std::uint32_t tokens) {
  cluster_shell shell = cluster.shell({0});
  const apps::shell_outcome outcome =
      shell.call("run", {{"request", id}, {"tokens", {3, 17, 29, 8, 41}}, {"max_tokens", tokens}});
  const auto* const data = std::get_if<apps::json>(&outcome);
  EXPECT_NE(data, nullptr) << failure_text(outcome) << cluster.last_words();
  return data == nullptr ? std::string{} : data->at("transcript").get<std::string>();
}

TEST(quic_nodes, answer_with_the_bits_of_nodes_over_tcp_and_survive_a_kill) {
  std::string over_tcp;
  {
    test_cluster cluster{split_in_two()};
    cluster.start();
    over_tcp = transcript_of(cluster, "00000000000000a1", 24);
  }
  test_cluster cluster{split_in_two()};
  set_transports(cluster, {"quic", "quic", "quic"});
  cluster.start();
  EXPECT_EQ(transcript_of(cluster, "00000000000000a1", 24), over_tcp);
  cluster.kill(2);
  cluster.start(2);
  cluster.wait_until_whole();
  EXPECT_EQ(transcript_of(cluster, "00000000000000a2", 24), over_tcp);
}

TEST(quic_nodes, that_speak_both_link_with_one_that_speaks_tcp) {
  test_cluster cluster{split_in_two()};
  set_transports(cluster, {"auto", "tcp", "auto"});
  cluster.start();
  EXPECT_NE(transcript_of(cluster, "00000000000000a3", 8), "");
}

} // namespace
} // namespace ovir::test
