// `ovir plan`: the example of config/, mistakes in the file, too little memory.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/shared_files.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ovir::test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

std::string node(const std::string& name, int memory_mib) {
  return "[[node]]\nname = \"" + name + "\"\nmemory_mib = " + std::to_string(memory_mib) +
         "\ndecode_gb_per_s = 10\nprefill_gb_per_s = 40.5\nrtt_ms = 1\n";
}

child_result plan(const std::string& file, std::vector<std::string> more = {}) {
  const temporary_folder folder;
  write_file(folder.path() / "cluster.toml", file);
  more.insert(more.begin(), {"plan", "--cluster", folder.path() / "cluster.toml"});
  return run_ovir(more);
}

TEST(cli_plan, draws_the_example) {
  const child_result child =
      run_ovir({"plan", "--cluster", source_file("config/cluster.toml"), "--requests", "2"});
  EXPECT_EQ(child.exit_code, 0) << child.err;
  EXPECT_THAT(child.out, HasSubstr("│ desk "));
  EXPECT_THAT(child.out, HasSubstr("embedding, head"));
  EXPECT_THAT(child.out, HasSubstr("desk alone is faster than any split"));
  EXPECT_THAT(child.out, HasSubstr("unused     shelf, attic"));
  EXPECT_THAT(child.out, HasSubstr("tokens/s predicted for 2 requests"));
  EXPECT_THAT(child.out, HasSubstr("group      a group would be slower: shelf and attic"));
}

TEST(cli_plan, prints_one_document) {
  const child_result child = plan(node("a", 512) + node("b", 512), {"--json", "--context", "256"});
  ASSERT_EQ(child.exit_code, 0) << child.err;
  const json document = document_of(child);
  EXPECT_EQ(document["stages"][0]["node"], "a");
  EXPECT_EQ(document["stages"][0]["first_layer"], 0);
  EXPECT_EQ(document["context"], 256);
  EXPECT_EQ(document["alone"]["node"], "a");
  EXPECT_GT(document["speed"]["decode_tps"].get<double>(), 0);
  // Both could compute every layer together, but not with a millisecond between them.
  EXPECT_EQ(document["group"]["fastest"], "one node");
  EXPECT_EQ(document["group"]["members"].size(), 2U);
  EXPECT_THAT(document["group"]["why"].get<std::string>(), HasSubstr("a group would be slower"));
  EXPECT_LE(document["stages"][0]["memory_bytes"].get<std::uint64_t>(),
            document["stages"][0]["memory_limit_bytes"].get<std::uint64_t>());
}

TEST(cli_plan, names_line_and_column_of_a_mistake) {
  struct mistake {
    std::string file;
    std::string says;
  };
  const std::string good = node("a", 512);
  const mistake mistakes[]{
      {good + "colour = \"red\"\n", "cluster.toml:7:1: [[node]] has no key 'colour'"},
      {good + "bandwidth_mbit_per_s = -3\n",
       "cluster.toml:7:24: 'bandwidth_mbit_per_s' must be between 0.01 and 1000000, not -3"},
      {good + "bandwidth_mbit_per_s = nan\n", "cluster.toml:7:24: 'bandwidth_mbit_per_s' must be"},
      {good + good, "cluster.toml:8:8: a [[node]] called a came before"},
      {"lead = \"z\"\n" + good, "cluster.toml:1:8: 'lead' names z, but no [[node]] has this name"},
      {good + "[[link]]\nbetween = [\"a\", \"a\"]\n", "cluster.toml:8:11: 'between' must name two"},
      {good + "[[link]]\nbetween = 3\n", "cluster.toml:8:11: 'between' must be the names"},
      {good + "layers = 3\n", "cluster.toml:7:10: 'layers' must be a printable range"},
      {good + "layers = \"7-3\"\n", "cluster.toml:7:10: 'layers' must name a first layer"},
      {good + "layers = \"0-\"\n",
       "cluster.toml:7:10: 'layers' must be the first and the last layer"},
      {"node = 3\n", "cluster.toml:1:8: 'node' must be tables"},
      {"[[node]]\nname = \"a\"\n", "cluster.toml:1:1: the key 'memory_mib' is missing"},
      {"[[node]\n", "cluster.toml:1:"},
      {"", "a cluster has 1 to 128 nodes, this one 0"},
  };
  for (const mistake& m : mistakes) {
    SCOPED_TRACE(m.file);
    const child_result child = plan(m.file);
    EXPECT_EQ(child.exit_code, 3);
    EXPECT_THAT(child.err, HasSubstr(m.says));
    EXPECT_TRUE(is_one_line(child.err)) << child.err;
    EXPECT_EQ(child.out, "");
  }
}

TEST(cli_plan, cuts_within_the_layers_that_the_machines_have) {
  const child_result child = plan(
      node("a", 512) + "layers = \"1-3\"\n" + node("b", 512) + "layers = \"0-1\"\n", {"--json"});
  ASSERT_EQ(child.exit_code, 0) << child.err;
  const json document = document_of(child);
  EXPECT_EQ(document["stages"][0]["node"], "b");
  EXPECT_EQ(document["stages"][0]["last_layer"], 1);
  EXPECT_EQ(document["stages"][1]["node"], "a");
  EXPECT_EQ(document["stages"][1]["first_layer"], 2);
  const child_result missing = plan(node("a", 512) + "layers = \"1\"\n");
  EXPECT_EQ(missing.exit_code, 4);
  EXPECT_THAT(missing.err, HasSubstr("layer 0 is held by no node that is there"));
}

TEST(cli_plan, says_how_much_memory_is_missing) {
  const child_result child = plan(node("a", 8) + node("b", 8));
  EXPECT_EQ(child.exit_code, 3);
  EXPECT_THAT(child.err, HasSubstr("the model does not fit"));
  EXPECT_THAT(child.err, HasSubstr("MiB more on each node would do"));
  EXPECT_TRUE(is_one_line(child.err)) << child.err;
}

TEST(cli_plan, refuses_a_context_the_model_was_not_made_for) {
  const child_result child = plan(node("a", 512), {"--context", "1000000"});
  EXPECT_EQ(child.exit_code, 2);
  EXPECT_THAT(child.err, HasSubstr("positions at most"));
}

} // namespace
} // namespace ovir::test
