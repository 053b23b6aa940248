// Blocks between nodes: a prefix that some nodes computed is used by others, whatever the cut, and
// what is damaged, evicted or lost on the way never changes an answer.
#include "apps/key_file.hpp"
#include "ledger/keeper/verify.hpp"
#include "messages/evidence/receipt.hpp"
#include "storage/env/durable_file.hpp"
#include "storage/env/env.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace ovir::test {
namespace {

constexpr std::uint32_t layers = 8;
constexpr std::uint32_t prompt_tokens = 100; // three whole windows
constexpr std::uint32_t prefix_windows = 3;

constexpr std::string_view charging_rules = R"(mode = "zero-bond"
[rules]
newcomer_units = 1024
[deterrence]
audit_rate_ppm = 900000
unit_fee = 32000000
saved = 25600000
planted_ppm = 900000
audit_fee = 8000000
audit_cost = 6400000
)";

class node_blocks : public ::testing::Test {
protected:
  node_blocks() {
    compute::synth_spec spec;
    spec.layers = layers;
    write_file(model_, synthetic_model(spec));
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

  static apps::json request(std::uint32_t salt, std::uint32_t seed, const char* cache = "default") {
    static std::uint64_t last = 0;
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < prompt_tokens; ++i) {
      tokens.push_back(3 + (i * 7919 + salt * 31) % 250);
    }
    return {{"request", fmt::format("{:016x}", 0x1000 + ++last)},
            {"tokens", tokens},
            {"max_tokens", 8},
            {"temperature", 0.8},
            {"seed", seed},
            {"cache", cache}};
  }
  static apps::json ask(const test_cluster& cluster, const apps::json& args) {
    cluster_shell shell = cluster.shell({0});
    const apps::shell_outcome outcome = shell.call("run", args);
    EXPECT_EQ(failure_text(outcome), "") << cluster.last_words();
    const auto* const data = std::get_if<apps::json>(&outcome);
    return data == nullptr ? apps::json::object() : *data;
  }
  static std::uint64_t units(const apps::json& data, const char* where) {
    return data.at("units").at(where).get<std::uint64_t>();
  }
  static void expect_same(const apps::json& told, const apps::json& expected) {
    for (const char* const key : {"text", "tokens", "transcript", "finish_reason"}) {
      EXPECT_EQ(told.at(key), expected.at(key)) << key;
    }
  }
  /// Another cut: what node `i` holds is let go, and these layers taken instead.
  void recut(const test_cluster& cluster, std::size_t i, std::uint32_t first,
             std::uint32_t last) const {
    cluster_shell shell = cluster.shell({i});
    static_cast<void>(shell.data("unload synthetic.gguf"));
    static_cast<void>(
        shell.data(fmt::format("load {} --first {} --last {}", model_.string(), first, last)));
  }
  /// Workers 1 to 3 hold layers 0 and 1, 2 to 4, and 5 to 7, and node `scheduler` knows it.
  void recut_in_three(const test_cluster& cluster, std::size_t scheduler) const {
    recut(cluster, 1, 0, 1);
    recut(cluster, 2, 2, 4);
    cluster_shell third = cluster.shell({3});
    static_cast<void>(third.data(fmt::format("load {} --first 5 --last 7", model_.string())));
    ASSERT_TRUE(cluster.wait_until([&] {
      const apps::json models = cluster.ask(scheduler, "models").at("models");
      return std::any_of(models.begin(), models.end(), [](const apps::json& model) {
        return model.at("complete") == true && model.at("holders").size() == 3;
      });
    }));
  }
  /// So large that all nodes expect fetching to be faster than computing, by far.
  void write_large() const {
    compute::synth_spec large;
    large.layers = layers;
    large.dim = 512;
    large.ffn_dim = 2'048;
    large.heads = 8;
    large.kv_heads = 1;
    write_file(model_, synthetic_model(large));
  }
  /// Whether node `i` knows of so many blocks of each of the others of these names.
  static bool knows(const test_cluster& cluster, std::size_t i,
                    const std::vector<std::uint64_t>& names) {
    std::vector<std::uint64_t> known;
    const apps::json told = cluster.ask(i, "cache");
    for (const apps::json& member : told.at("peers").at("members")) {
      known.push_back(member.at("names").get<std::uint64_t>());
    }
    std::sort(known.begin(), known.end());
    return known == names;
  }
  /// Flips a bit in every `stride`th block of the disk of node `i`.
  static std::size_t damage(const test_cluster& cluster, std::size_t i, std::size_t stride) {
    const auto path = cluster.state(i) / "store/blocks";
    const std::uint64_t blocks = std::filesystem::file_size(path) / 4'096;
    std::fstream file{path, std::ios::in | std::ios::out | std::ios::binary};
    std::size_t damaged = 0;
    for (std::uint64_t block = 0; block < blocks; block += stride, ++damaged) {
      const auto at = static_cast<std::streamoff>(block * 4'096 + 300);
      file.seekg(at);
      const char old = static_cast<char>(file.get());
      file.seekp(at);
      file.put(static_cast<char>(old ^ 4));
    }
    return damaged;
  }

  /// The last node keeps a ledger that charges, and its schedulers pay.
  void keep_ledger(const test_cluster& cluster) const {
    const std::string policy = folder_.path() / "ledger.toml";
    write_file(policy, std::string{charging_rules});
    const auto env = storage::make_env_posix();
    const std::size_t keeper = cluster.size() - 1;
    for (std::size_t i = 0; i <= keeper; ++i) {
      const auto key = apps::load_key(
          *env, (cluster.folder() / cluster.node(keeper).name / "node.key").string());
      std::ofstream file{cluster.config(i), std::ios::app | std::ios::binary};
      file << "\n[ledger]\nclients = \"node\"\n"
           << (i == keeper ? fmt::format("policy = \"{}\"\n", policy)
                           : fmt::format("keeper = \"{}\"\n", to_hex(key.value().id())));
    }
  }
  static void give_credit(test_cluster& cluster, const std::vector<std::string>& names) {
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      ASSERT_TRUE(cluster.wait_until([&] {
        try {
          return !cluster.ask(i, "ledger head").empty();
        } catch (const std::runtime_error&) {
          return false;
        }
      })) << cluster.last_words();
    }
    const auto env = storage::make_env_posix();
    for (const std::string& name : names) {
      const auto key = apps::load_key(*env, (cluster.folder() / name / "node.key").string());
      cluster_shell keeper = cluster.shell({cluster.size() - 1});
      static_cast<void>(
          keeper.data(fmt::format("ledger mint {} 1000000000", to_hex(key.value().id()))));
    }
  }
  /// Micro-credits by node, as the keeper's log says.
  static std::map<node_id, std::uint64_t> paid_for_serving(const test_cluster& cluster) {
    std::map<node_id, std::uint64_t> paid;
    const auto log = cluster.state(cluster.size() - 1) / "ledger/log";
    const auto file = storage::open_durable_file_to_read(log.string());
    EXPECT_TRUE(file) << file.error().message;
    ledger::verify_options how;
    how.visit = [&paid](std::uint64_t, const ledger::entry& e, const auto&) {
      if (const auto* const a = std::get_if<ledger::accrue>(&e.what)) {
        for (const ledger::window_share& s : a->served) {
          paid[s.node] += s.amount;
        }
      }
    };
    const auto seen = ledger::verify_log(**file, how);
    EXPECT_TRUE(seen && !seen->fault) << (seen ? seen->fault->what : seen.error().message);
    return paid;
  }

  static std::vector<std::byte> bytes_of_hex(const std::string& hex) {
    std::vector<std::byte> bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
      bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return bytes;
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
};

TEST_F(node_blocks, three_nodes_use_a_prefix_that_two_computed_for_another_cut) {
  write_large();
  test_cluster cluster{spec({"0-3", "4-7", ""}, "enabled = true")};
  cluster.start();
  const apps::json cold = ask(cluster, request(1, 2, "off"));
  static_cast<void>(ask(cluster, request(1, 1)));
  // Worker 2 has none; each of the others claims three windows of four layers. Schedulers have no
  // blocks, and claim nothing as long as that is so.
  ASSERT_TRUE(cluster.wait_until([&] {
    return knows(cluster, 3, {12, 12});
  })) << cluster.ask(3, "cache");
  recut_in_three(cluster, 0);
  const apps::json told = ask(cluster, request(1, 2));
  expect_same(told, cold);
  EXPECT_EQ(told.at("path").size(), 3U) << told.at("path");
  EXPECT_EQ(units(told, "memory"), prefix_windows * 3); // layers 0, 1 and 4 where they were
  EXPECT_EQ(units(told, "peer"), prefix_windows * 5);
  EXPECT_EQ(units(told, "computed"), units(cold, "computed") - prefix_windows * layers);
  const apps::json peers = cluster.ask(3, "cache").at("peers");
  EXPECT_EQ(peers.at("blocks"), prefix_windows * 3);
  EXPECT_EQ(peers.at("fetches"), 1);
  EXPECT_EQ(peers.at("wrong_blocks"), 0);
  const apps::json why = peers.at("decisions").at(0);
  EXPECT_EQ(cluster.ask(2, "cache").at("peers").at("blocks"), prefix_windows * 2);
  EXPECT_EQ(why.at("fetched"), true);
  EXPECT_EQ(why.at("windows"), prefix_windows);
  EXPECT_EQ(why.at("windows_got"), prefix_windows);
  // And now they are here.
  const apps::json again = ask(cluster, request(1, 3));
  EXPECT_EQ(units(again, "peer"), 0U);
  EXPECT_EQ(units(again, "memory"), prefix_windows * layers);
}

// The same prompt at two schedulers, with receipts: the second one's path takes over what others
// computed, its receipt shows with whose word, and the ledger who was paid for serving it.
TEST_F(node_blocks, are_shown_in_a_receipt_with_the_word_of_who_computed_them) {
  write_large();
  cluster_spec two = spec({"0-3", "4-7", ""}, "enabled = true");
  two.nodes.push_back({"another", {"scheduler"}, {{model_.string()}}});
  two.nodes.push_back({"books", {"ledger"}, {}});
  test_cluster cluster{two};
  keep_ledger(cluster);
  cluster.start();
  give_credit(cluster, {"scheduler", "another"});
  const auto signed_at = [&](std::size_t scheduler, std::uint32_t seed) {
    apps::json args = request(1, seed, "public");
    args["receipt"] = true;
    cluster_shell shell = cluster.shell({scheduler});
    const apps::shell_outcome outcome = shell.call("run", args);
    EXPECT_EQ(failure_text(outcome), "") << cluster.last_words();
    return std::get<apps::json>(outcome);
  };
  const apps::json first = signed_at(0, 1);
  ASSERT_TRUE(cluster.wait_until([&] {
    return knows(cluster, 3, {12, 12});
  })) << cluster.ask(3, "cache");
  recut_in_three(cluster, 4);
  const apps::json told = signed_at(4, 2);
  EXPECT_EQ(units(told, "peer"), prefix_windows * 5) << told.at("units");
  EXPECT_EQ(units(told, "memory"), prefix_windows * 3);
  const std::vector<std::byte> bytes =
      bytes_of_hex(told.at("receipt").at("bytes").get<std::string>());
  const receipt r = decode_receipt(bytes).value();
  std::map<node_id, std::size_t> cited;
  for (const stage_records& stage : r.stages) {
    for (const statement& s : stage.statements) {
      for (const unit_citation& c : s.cited) {
        EXPECT_LT(s.window, prefix_windows);
        ++cited[c.author];
      }
    }
  }
  // Layers 2 and 3 were computed by the first worker, 5 to 7 by the second.
  const receipt before =
      decode_receipt(bytes_of_hex(first.at("receipt").at("bytes").get<std::string>())).value();
  EXPECT_EQ(cited,
            (std::map<node_id, std::size_t>{{before.stages[0].signer.node, prefix_windows * 2},
                                            {before.stages[1].signer.node, prefix_windows * 3}}));
  const std::string file = folder_.path() / "told.receipt";
  write_file(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  for (const std::vector<std::string>& how :
       {std::vector<std::string>{file, "--any-signer"},
        std::vector<std::string>{file, "--any-signer", "--model", model_.string()}}) {
    const child_result checked = run_ovir_verify(how);
    EXPECT_EQ(checked.exit_code, 0) << checked.out << checked.err;
  }
  std::map<node_id, std::uint64_t> paid;
  ASSERT_TRUE(cluster.wait_until([&] {
    paid = paid_for_serving(cluster);
    return paid.size() == cited.size();
  })) << cluster.last_words();
  for (const auto& [author, units] : cited) { // who computed them served them, too
    EXPECT_GT(paid[author], 0U) << to_hex(author);
  }
}

TEST_F(node_blocks, what_is_private_is_used_by_its_owner_on_other_nodes_and_by_nobody_else) {
  test_cluster cluster{spec({"0-7", ""}, "enabled = true")};
  cluster.start();
  static_cast<void>(ask(cluster, request(2, 1)));
  ASSERT_TRUE(cluster.wait_until([&] { return knows(cluster, 2, {24}); }));
  cluster_shell second = cluster.shell({2});
  static_cast<void>(second.data(fmt::format("load {} --first 0 --last 7", model_.string())));
  static_cast<void>(cluster.shell({1}).data("unload synthetic.gguf"));
  ASSERT_TRUE(cluster.wait_until(
      [&] { return cluster.ask(0, "models").dump().find("\"worker-1\"") != std::string::npos; }));
  EXPECT_EQ(units(ask(cluster, request(2, 2, "public")), "peer"), 0U);
  EXPECT_EQ(units(ask(cluster, request(2, 2)), "peer"), prefix_windows * layers);
}

/// Sends all of them as fast as it can, and waits for the answers.
struct at_once {
  at_once(const test_cluster& cluster, const std::vector<apps::json>& requests) {
    constexpr std::size_t askers = 8; // a node takes few connections of one key
    std::vector<std::thread> threads;
    for (std::size_t asker = 0; asker < askers; ++asker) {
      threads.emplace_back([&cluster, &requests, asker] {
        cluster_shell shell = cluster.shell({0});
        for (std::size_t i = asker; i < requests.size(); i += askers) {
          apps::json one = requests[i];
          one["wait"] = false;
          EXPECT_EQ(failure_text(shell.call("run", one)), "");
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    cluster_shell shell = cluster.shell({0});
    for (const apps::json& one : requests) {
      const apps::shell_outcome outcome = shell.call("attach", {{"request", one.at("request")}});
      EXPECT_EQ(failure_text(outcome), "") << cluster.last_words();
      if (const auto* const data = std::get_if<apps::json>(&outcome)) {
        const apps::json& units = data->at("units");
        computed += units.at("computed").get<std::uint64_t>();
        for (const char* const where : {"memory", "disk", "peer"}) {
          reused += units.at(where).get<std::uint64_t>();
        }
      }
    }
  }

  std::uint64_t computed{0};
  std::uint64_t reused{0};
};

TEST_F(node_blocks, sixty_four_requests_at_once_compute_their_common_prefix_once) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  std::vector<apps::json> requests;
  for (std::uint32_t i = 0; i < 64; ++i) {
    requests.push_back(request(3, 1 + i));
  }
  const at_once told{cluster, requests};
  constexpr std::uint64_t prefix = prefix_windows * layers;
  EXPECT_EQ(told.reused, (requests.size() - 1) * prefix);
  // Each has one window of its own, behind the prefix.
  EXPECT_EQ(told.computed, prefix + requests.size() * layers);
  RecordProperty("waited", cluster.ask(0, "cache").at("waited").get<int>());
}

// Who has other names for the same prefix can use nothing of it, and is not told by a wait that
// somebody asks the same.
TEST_F(node_blocks, of_two_owners_at_once_each_computes_the_common_prefix_once) {
  test_cluster cluster{spec({"0-3", "4-7"}, "enabled = true")};
  cluster.start();
  std::vector<apps::json> requests;
  for (std::uint32_t i = 0; i < 32; ++i) {
    requests.push_back(request(3, 1 + i, i % 2 == 0 ? "private" : "public"));
  }
  const at_once told{cluster, requests};
  constexpr std::uint64_t prefix = prefix_windows * layers;
  EXPECT_EQ(told.reused, (requests.size() - 2) * prefix);
  EXPECT_EQ(told.computed, 2 * prefix + requests.size() * layers);
}

class node_blocks_kept : public node_blocks, public ::testing::WithParamInterface<const char*> {};

TEST_P(node_blocks_kept, in_any_way_give_the_answers_that_computing_gives) {
  test_cluster cluster{spec({"0-3", "4-7"}, GetParam())};
  cluster.start();
  for (std::uint32_t round = 0; round < 3; ++round) {
    SCOPED_TRACE(round);
    for (std::uint32_t salt = 1; salt <= 4; ++salt) {
      const apps::json cold = ask(cluster, request(salt, 10 * salt + round, "off"));
      expect_same(ask(cluster, request(salt, 10 * salt + round)), cold); // another draw each round
      expect_same(ask(cluster, request(salt, 10 * salt + round)), cold); // the same again
    }
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      EXPECT_EQ(cluster.terminate(i).exit_code, 0);
    }
    std::size_t damaged = 0;
    for (std::size_t i = 1; i < cluster.size(); ++i) {
      if (std::filesystem::exists(cluster.state(i) / "store/blocks")) {
        damaged += damage(cluster, i, 7);
      }
    }
    cluster.start();
    if (round == 0 && damaged > 0) {
      const apps::json after = ask(cluster, request(1, 11));
      expect_same(after, ask(cluster, request(1, 11, "off")));
      const std::uint64_t found = cluster.ask(1, "cache").at("damaged").get<std::uint64_t>() +
                                  cluster.ask(2, "cache").at("damaged").get<std::uint64_t>();
      EXPECT_GT(found, 0U) << "nothing of what was damaged was looked at";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(ways, node_blocks_kept,
                         ::testing::Values("memory_mib = 64", "memory_mib = 0",
                                           "memory_mib = 1\ndisk_mib = 1",
                                           "memory_mib = 64\ndisk_mib = 0\npeers = false"));

} // namespace
} // namespace ovir::test
