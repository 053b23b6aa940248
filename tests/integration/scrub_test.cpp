// A file of weights that rots under a running node, at the shipped rates.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <gmock/gmock.h>

#include <fstream>

namespace ovir::test {
namespace {

using testing::HasSubstr;

TEST(scrub, finds_a_byte_that_changed_on_disk_while_the_node_serves) {
  const temporary_folder models;
  const std::filesystem::path model = models.path() / "model.gguf";
  compute::synth_spec shape;
  shape.layers = 8;
  write_file(model, synthetic_model(shape));
  cluster_spec spec;
  spec.nodes = {{"one", {"scheduler", "worker"}, {{model.string()}}}};
  test_cluster cluster{std::move(spec)};
  cluster.start();
  const std::string tree = cluster.ask(0, "tree").dump();
  EXPECT_THAT(tree, HasSubstr("upkeep"));
  EXPECT_THAT(tree, HasSubstr("dispatcher"));
  EXPECT_THAT(tree, HasSubstr("scrubber"));
  {
    std::fstream file{model, std::ios::in | std::ios::out | std::ios::binary};
    file.seekg(-1, std::ios::end);
    const char last = static_cast<char>(file.get() ^ 1);
    file.seekp(-1, std::ios::end);
    file.put(last);
  }
  const auto log = [&] { return read_file(cluster.folder() / "one.log"); };
  EXPECT_TRUE(cluster.wait_until(
      [&] { return log().find("is damaged on disk at its byte") != std::string::npos; },
      std::chrono::seconds{60}))
      << cluster.last_words();
  cluster_shell shell = cluster.shell({0});
  const apps::shell_outcome outcome = shell.call("run", {{"tokens", {3, 4, 5}}, {"max_tokens", 4}});
  EXPECT_EQ(failure_text(outcome), "") << "weights in memory are what they were";
}

} // namespace
} // namespace ovir::test
