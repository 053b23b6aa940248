// Bits never depend on the cache: the same requests at nodes whose cache is cold, warm, on the disk
// alone, at other nodes alone, evicting all the time, and silently damaged. Every answer is
// compared with that of a node that keeps nothing and holds all layers, and in each state it is
// counted where units came from: a test that met another state than its own would prove nothing.
#include "storage/env/env.hpp"
#include "storage/store/content_store.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <random>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

constexpr std::uint32_t layers = 8;
constexpr std::uint32_t window = 32;

/// A window of token ids, another one for each letter.
void append_window(std::vector<token_id>& tokens, char letter) {
  for (std::uint32_t i = 0; i < window; ++i) {
    const auto salt = static_cast<std::uint32_t>(letter);
    tokens.push_back(3 + (i * 7'919 + salt * 131 + i * salt) % 250);
  }
}

class node_states : public ::testing::Test {
protected:
  node_states() {
    compute::synth_spec spec;
    spec.layers = layers;
    write_file(model_, synthetic_model(spec));
    cluster_spec plain;
    plain.nodes.push_back({"plain", {"scheduler", "worker"}, {{model_.string()}}});
    plain_.emplace(plain);
    plain_->start();
  }

  /// A scheduler and a worker for each range of layers; an empty range holds another model.
  [[nodiscard]] cluster_spec spec(const std::vector<std::string>& parts,
                                  const std::string& cache) const {
    cluster_spec out;
    out.nodes.push_back({"scheduler", {"scheduler"}, {{model_.string()}}});
    for (std::size_t i = 0; i < parts.size(); ++i) {
      out.nodes.push_back({fmt::format("worker-{}", i),
                           {"worker"},
                           {parts[i].empty() ? cluster_part{"embedded"}
                                             : cluster_part{model_.string(), parts[i]}}});
    }
    out.cache = cache;
    return out;
  }

  /// A prompt of a window per letter and three tokens more. Another `draw` has another answer.
  static apps::json request(const std::string& letters, std::uint32_t draw,
                            std::uint32_t max_tokens = 8) {
    std::vector<token_id> tokens;
    for (const char letter : letters) {
      append_window(tokens, letter);
    }
    tokens.insert(tokens.end(), {5, 6, 7});
    return {{"tokens", tokens}, {"max_tokens", max_tokens}, {"temperature", 0.8}, {"seed", draw}};
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
  /// Asks, and compares with what the node without a cache computes.
  apps::json ask_compared(const test_cluster& cluster, const apps::json& args) const {
    apps::json told = ask(cluster, args);
    const apps::json computed = ask(*plain_, args);
    expect_same(told, computed);
    EXPECT_EQ(reused(computed), 0U) << "the node to compare with keeps something";
    EXPECT_EQ(reused(told) + units(told, "computed"), units(computed, "computed"));
    return told;
  }
  static void expect_same(const apps::json& told, const apps::json& computed) {
    for (const char* const key : {"text", "tokens", "transcript", "finish_reason"}) {
      EXPECT_EQ(told.at(key), computed.at(key)) << key;
    }
  }
  static std::uint64_t units(const apps::json& data, const char* where) {
    return data.at("units").at(where).get<std::uint64_t>();
  }
  static std::uint64_t reused(const apps::json& data) {
    return units(data, "memory") + units(data, "disk") + units(data, "peer");
  }
  static std::uint64_t count(const test_cluster& cluster, std::size_t i, const char* what) {
    return cluster.ask(i, "cache").at(what).get<std::uint64_t>();
  }
  static std::uint64_t count_all(const test_cluster& cluster, const char* what) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      sum += count(cluster, i, what);
    }
    return sum;
  }
  /// Until all that is kept is on the disk: nothing is acknowledged of it, so it takes a moment.
  static void wait_for_disk(const test_cluster& cluster) {
    ASSERT_TRUE(cluster.wait_until([&] { return count_all(cluster, "unwritten") == 0; }));
  }
  static void end_all(test_cluster& cluster) {
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      EXPECT_EQ(cluster.terminate(i).exit_code, 0);
    }
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
  std::optional<test_cluster> plain_;
};

TEST_F(node_states, cold_computes_everything_and_finds_nothing) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  std::uint64_t computed = 0;
  for (const char* const letters : {"abc", "xde", "fff"}) {
    const apps::json told = ask_compared(cluster, request(letters, 1));
    EXPECT_EQ(reused(told), 0U) << letters;
    computed += units(told, "computed");
  }
  EXPECT_EQ(computed, 3U * 4 * layers); // three windows of the prompt and one begun behind them
  EXPECT_EQ(count_all(cluster, "damaged"), 0U);
  wait_for_disk(cluster);
  EXPECT_EQ(count(cluster, 1, "kept") + count(cluster, 2, "kept"), 3U * 3 * layers);
}

TEST_F(node_states, warm_takes_the_longest_common_prefix_from_memory) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  for (const char* const letters : {"xde", "abc"}) {
    static_cast<void>(ask(cluster, request(letters, 1, 1)));
  }
  // What follows a window is part of its name: "bc" behind another window is not what was kept.
  struct expected {
    const char* letters;
    std::uint32_t windows;
  };
  for (const auto [letters, windows] :
       {expected{"abc", 3}, {"abcd", 3}, {"ab", 2}, {"xbc", 1}, {"adc", 1}, {"bc", 0}}) {
    const apps::json told = ask_compared(cluster, request(letters, 2));
    EXPECT_EQ(units(told, "memory"), std::uint64_t{windows} * layers) << letters;
    EXPECT_EQ(units(told, "disk") + units(told, "peer"), 0U) << letters;
    const apps::json again = ask_compared(cluster, request(letters, 2));
    EXPECT_EQ(again.at("answer_reused"), true) << letters;
  }
}

TEST_F(node_states, where_units_came_from_and_why_no_more_is_explained_stage_by_stage) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  const auto explained = [&](const char* letters, std::uint32_t draw) {
    apps::json args = request(letters, draw);
    args["explain_cache"] = true;
    const apps::json told = ask(cluster, args);
    EXPECT_EQ(told.at("explained").size(), 2U) << told.at("explained");
    return told.at("explained");
  };
  struct expected {
    const char* letters;
    int found;
    const char* end;
    const char* choice;
  };
  // The second worker claims what it has, and that is another part of the model.
  for (const auto [letters, found, end, choice] : {expected{"abc", 0, "missing", "unclaimed"},
                                                   {"abc", 3, "all", "not_asked"},
                                                   {"abd", 2, "missing", "unclaimed"}}) {
    static std::uint32_t draw = 0;
    for (const apps::json& stage : explained(letters, ++draw)) {
      EXPECT_EQ(stage.at("wanted"), 3) << letters << stage;
      EXPECT_EQ(stage.at("found"), found) << letters << stage;
      EXPECT_EQ(stage.at("memory"), 4 * found) << letters << stage;
      EXPECT_EQ(stage.at("end"), end) << letters << stage;
      EXPECT_EQ(stage.at("others").at("choice"), choice) << letters << stage;
      EXPECT_TRUE(stage.at("name").get<std::string>().starts_with("worker-")) << stage;
    }
  }
  EXPECT_TRUE(ask(cluster, request("abc", 9)).at("explained").is_null());
  const child_result shell =
      run_ovir({"shell", "--key", cluster.admin_key(), "--connect", cluster.admin_address(0), "-e",
                "run \"Once upon a time there was a node that kept what it had computed\" -n 4 "
                "--explain-cache"});
  EXPECT_EQ(shell.exit_code, 0) << shell.err;
  EXPECT_NE((shell.out + shell.err).find("cache      layers 4-7 on worker-1: 0 of "),
            std::string::npos)
      << shell.out << shell.err;
}

TEST_F(node_states, disk_alone_gives_what_was_kept_also_after_a_restart) {
  test_cluster cluster{spec({"0-3", "4-7"}, "memory_mib = 0")};
  cluster.start();
  for (const char* const letters : {"xde", "abc"}) {
    static_cast<void>(ask(cluster, request(letters, 1, 1)));
  }
  for (std::uint32_t life = 0; life < 2; ++life) {
    wait_for_disk(cluster);
    for (const char* const letters : {"abc", "xde"}) {
      const apps::json told = ask_compared(cluster, request(letters, 2 + life));
      EXPECT_EQ(units(told, "disk"), 3U * layers) << letters;
      EXPECT_EQ(units(told, "memory") + units(told, "peer"), 0U) << letters;
      wait_for_disk(cluster);
      EXPECT_EQ(ask_compared(cluster, request(letters, 2 + life)).at("answer_reused"), true);
    }
    EXPECT_EQ(count_all(cluster, "memory_entries"), 0U);
    end_all(cluster);
    cluster.start();
  }
}

TEST_F(node_states, peers_alone_give_it_to_nodes_that_never_computed_it) {
  // Two workers compute; then two others, which have nothing, are given the layers, in another cut.
  test_cluster cluster{spec({"0-3", "4-7", "", ""}, "enabled = true")};
  cluster.start();
  for (const char* const letters : {"xde", "abc"}) {
    static_cast<void>(ask(cluster, request(letters, 1, 1)));
  }
  const auto knows = [&](std::size_t i) { // both of the others' claims of 2 x 3 windows of 4 layers
    const apps::json members = cluster.ask(i, "cache").at("peers").at("members");
    return std::count_if(members.begin(), members.end(), [](const apps::json& member) {
             return member.at("names") == 2 * 3 * layers / 2;
           }) == 2;
  };
  ASSERT_TRUE(cluster.wait_until([&] { return knows(3) && knows(4); }));
  cluster_shell third = cluster.shell({3});
  static_cast<void>(third.data(fmt::format("load {} --first 0 --last 2", model_.string())));
  cluster_shell fourth = cluster.shell({4});
  static_cast<void>(fourth.data(fmt::format("load {} --first 3 --last 7", model_.string())));
  for (const std::size_t i : {1U, 2U}) {
    static_cast<void>(cluster.shell({i}).data("unload synthetic.gguf"));
  }
  ASSERT_TRUE(cluster.wait_until([&] {
    const std::string models = cluster.ask(0, "models").dump();
    return models.find("\"worker-0\"") == std::string::npos &&
           models.find("\"worker-1\"") == std::string::npos &&
           models.find("\"worker-2\"") != std::string::npos &&
           models.find("\"worker-3\"") != std::string::npos;
  })) << cluster.ask(0, "models");
  for (const char* const letters : {"abc", "xde"}) {
    apps::json asked = request(letters, 2);
    const apps::json computed = ask(*plain_, asked);
    asked["explain_cache"] = true;
    const apps::json told = ask(cluster, asked);
    expect_same(told, computed);
    EXPECT_EQ(units(told, "peer"), 3U * layers) << letters << " " << cluster.ask(3, "cache");
    EXPECT_EQ(units(told, "memory") + units(told, "disk"), 0U) << letters;
    for (const apps::json& stage : told.at("explained")) {
      const apps::json& others = stage.at("others");
      const int held = stage.at("last_layer").get<int>() - stage.at("first_layer").get<int>() + 1;
      EXPECT_EQ(stage.at("found"), 3) << stage;
      EXPECT_EQ(stage.at("peer"), 3 * held) << stage;
      EXPECT_EQ(others.at("choice"), "fetched") << stage;
      EXPECT_EQ(others.at("windows_got"), 3) << stage;
      EXPECT_EQ(others.at("blocks"), 3 * held) << stage;
      EXPECT_GT(others.at("fetch_us"), 0) << stage;
      EXPECT_GT(others.at("took_us"), 0) << stage;
    }
  }
  EXPECT_EQ(count(cluster, 1, "served") + count(cluster, 2, "served"), 2U * 3 * layers);
  EXPECT_EQ(cluster.ask(3, "cache").at("peers").at("wrong_blocks"), 0);
}

TEST_F(node_states, evicting_all_the_time_only_computes_more) {
  // Room for two prompts in memory and two on the disk, and seven that take turns.
  compute::synth_spec large;
  large.layers = layers;
  large.dim = 512;
  large.heads = 2;
  large.kv_heads = 1; // blocks of 32 KiB
  plain_->kill(0);
  write_file(model_, synthetic_model(large));
  plain_->start();
  test_cluster cluster{spec({"0-3", "4-7"}, "memory_mib = 1\ndisk_mib = 1\npeers = false")};
  cluster.start();
  std::uint64_t found = 0;
  std::uint64_t evicted = 0;
  for (std::uint32_t round = 0; round < 2; ++round) {
    for (const char* const letters : {"abc", "bcd", "cde", "def", "efg", "fga", "gab"}) {
      found += reused(ask_compared(cluster, request(letters, 10 + round)));
      found += reused(ask_compared(cluster, request(letters, 20 + round))); // what is just kept
      const std::uint64_t now = count(cluster, 1, "memory_evicted");
      EXPECT_TRUE(now > evicted || (round == 0 && letters < std::string{"d"}))
          << letters << ": nothing had to go";
      evicted = now;
    }
  }
  EXPECT_GT(found, 0U) << "nothing was ever there";
  wait_for_disk(cluster);
  end_all(cluster);
  const auto machine = storage::make_env_posix();
  for (const std::size_t i : {1U, 2U}) {
    const auto store =
        storage::content_store::open(*machine, (cluster.state(i) / "store").string(), {});
    ASSERT_TRUE(store) << store.error().message;
    const auto& counters = (*store)->counters(storage::content_kind::kv);
    EXPECT_GT(counters.evicted, counters.stored / 2) << "of " << counters.stored;
    EXPECT_LE((*store)->usage(storage::content_kind::kv).bytes_taken, 1U << 20U);
  }
}

/// Flips a bit of one in a hundred of the blocks that a node keeps on its disk; how many these are.
std::uint64_t damage_one_percent(const std::filesystem::path& folder, std::mt19937_64& random) {
  std::vector<storage::entry> blocks;
  {
    const auto machine = storage::make_env_posix();
    const auto store = storage::content_store::open(*machine, folder.string(), {});
    EXPECT_TRUE(store) << store.error().message;
    EXPECT_TRUE((*store)->visit([&](const storage::entry& e) {
      if (e.kind == storage::content_kind::kv) {
        blocks.push_back(e);
      }
    }));
  }
  std::shuffle(blocks.begin(), blocks.end(), random);
  blocks.resize((blocks.size() + 99) / 100);
  std::fstream file{folder / "blocks", std::ios::in | std::ios::out | std::ios::binary};
  for (const storage::entry& e : blocks) {
    const auto at = static_cast<std::streamoff>(e.offset + random() % e.size);
    file.seekg(at);
    const char old = static_cast<char>(file.get());
    file.seekp(at);
    file.put(static_cast<char>(old ^ (1 << random() % 8)));
  }
  EXPECT_TRUE(file.flush());
  return blocks.size();
}

TEST_F(node_states, one_percent_of_blocks_silently_damaged_is_found_counted_and_computed_again) {
  test_cluster cluster{spec({"0-3", "4-7"}, "peers = false")};
  cluster.start();
  std::vector<std::string> prompts;
  for (char letter = 'a'; letter < 'm'; ++letter) { // twelve prompts of ten windows
    prompts.push_back(fmt::format("{}abcdefghi", letter));
    static_cast<void>(ask(cluster, request(prompts.back(), 1, 1)));
  }
  const std::uint64_t kept = prompts.size() * 10 * layers;
  end_all(cluster);
  std::mt19937_64 random{5};
  std::uint64_t damaged = 0;
  for (const std::size_t i : {1U, 2U}) {
    damaged += damage_one_percent(cluster.state(i) / "store", random);
  }
  ASSERT_GE(damaged, kept / 100);
  cluster.start();
  // A window behind a damaged one is not looked at, so it may take several rounds to meet all.
  std::uint64_t again = 0;
  for (std::uint32_t round = 0; count_all(cluster, "damaged") < damaged; ++round) {
    ASSERT_LT(round, 8U) << "not all damage was met: " << count_all(cluster, "damaged") << " of "
                         << damaged;
    for (const std::string& letters : prompts) {
      again += units(ask_compared(cluster, request(letters, 2 + round)), "computed") - layers;
    }
    wait_for_disk(cluster);
  }
  EXPECT_EQ(count_all(cluster, "damaged"), damaged);
  EXPECT_GE(again, damaged);
  RecordProperty("blocks", static_cast<int>(kept));
  RecordProperty("damaged", static_cast<int>(damaged));
  RecordProperty("computed_again", static_cast<int>(again));
  // What was damaged is whole again, also for the next life.
  end_all(cluster);
  cluster.start();
  for (const std::string& letters : prompts) {
    EXPECT_EQ(units(ask_compared(cluster, request(letters, 50)), "disk"), 10U * layers) << letters;
  }
  EXPECT_EQ(count_all(cluster, "damaged"), 0U);
}

} // namespace
} // namespace ovir::test
