// Groups of processes: the digest of one process, whatever becomes of members in mid-stream.
#include "node/local_cluster.hpp"
#include "tests/support/cluster/asked_request.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/model/loaded_model.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <regex>
#include <string>
#include <vector>

namespace ovir::test {
namespace {

using testing::HasSubstr;

constexpr std::size_t leader = 1; // 0 drives the requests
const std::vector<std::string> worker_names{"leader", "second", "third"};

/// As the admin command has it, and as one process runs it.
struct grouped_request {
  actors::generation_request own;
  apps::json arguments;
};

/// More than two windows of prompt, and more than a chunk of it.
grouped_request request_of(std::uint32_t tokens, bool greedy, std::uint32_t vocabulary) {
  grouped_request r;
  for (std::uint32_t i = 0; i < 70; ++i) {
    r.own.prompt.push_back((i * 7919 + 31) % vocabulary);
  }
  r.own.drafts = speculation::off;
  r.own.max_tokens = tokens;
  r.own.sampling.temperature = greedy ? 0 : 0.8F;
  r.own.sampling.seed = 7;
  r.arguments = {{"tokens", r.own.prompt},
                 {"max_tokens", tokens},
                 {"temperature", static_cast<double>(r.own.sampling.temperature)},
                 {"seed", r.own.sampling.seed},
                 {"speculate", greedy ? "off" : "on"}};
  return r;
}

/// Public keys in the order in which a node's configuration lets others in.
std::vector<std::string> keys_in(const std::string& config) {
  static const std::regex line{R"(key = "([0-9a-f]{64})\")"};
  std::vector<std::string> keys;
  for (auto found = std::sregex_iterator(config.begin(), config.end(), line);
       found != std::sregex_iterator{}; ++found) {
    keys.push_back((*found)[1].str());
  }
  return keys;
}

class group_of_processes : public testing::Test {
protected:
  void SetUp() override {
    path_ = (folder_.path() / "m.gguf").string();
    compute::synth_spec spec;
    spec.layers = 4;
    spec.ffn_dim = 768;
    spec.heads = 8;
    spec.kv_heads = 4;
    write_file(path_, synthetic_model(spec));
  }

  /// Of one process without any group.
  supervision::run_report alone(const grouped_request& r) {
    const loaded_model model{std::filesystem::path{path_}};
    const auto vocabulary = compute::tokenizer::make(model.file()).value();
    const auto* const kernels = compute::select_kernels(std::nullopt).value();
    auto one = supervision::local_cluster::start(model.get(), *vocabulary, *kernels, *env_, {});
    return (*one)->run(r.own, {}, nullptr).value();
  }

  /// A scheduler, and workers that hold everything, of which the first leads the others.
  void start(std::size_t members) {
    std::vector<cluster_node> nodes{{"front", {"scheduler"}, {{path_}}}};
    for (std::size_t i = 0; i < members; ++i) {
      nodes.push_back({worker_names[i], {"worker"}, {{path_, "0-3"}}});
    }
    cluster_.emplace(cluster_spec{std::move(nodes)});
    const auto keys = keys_in(read_file(cluster_->config(0))); // the first is an operator's
    std::string led;
    for (std::size_t i = leader + 1; i <= members; ++i) {
      led += fmt::format("{}\"{}\"", led.empty() ? "" : ", ", keys.at(i));
      add_table(i, fmt::format("[group]\njoin = [\"{}\"]\n", keys.at(leader)));
    }
    if (!led.empty()) {
      add_table(leader, fmt::format("[group]\nlead = [{}]\npatience_ms = 1000\n", led));
    }
    cluster_->start();
    if (members > 1) {
      wait_for_group(members);
    }
  }
  void add_table(std::size_t i, const std::string& table) {
    write_file(cluster_->config(i), read_file(cluster_->config(i)) + "\n" + table);
  }
  [[nodiscard]] std::string log_of(std::size_t i) const {
    return read_file(cluster_->folder() / (cluster_->node(i).name + ".log"));
  }
  /// That many lines of the leader's log say so.
  bool wait_for_lines(const std::string& pattern, std::ptrdiff_t count = 1) {
    const std::regex line{pattern};
    return cluster_->wait_until([&] {
      const std::string log = log_of(leader);
      return std::distance(std::sregex_iterator(log.begin(), log.end(), line), {}) >= count;
    });
  }
  /// It is formed, and the scheduler knows that its members are busy with it.
  void wait_for_group(std::size_t members) {
    ASSERT_TRUE(wait_for_lines(fmt::format("leads group \\d+ of {} nodes", members)))
        << cluster_->last_words();
    ASSERT_TRUE(cluster_->wait_until([&] {
      const apps::json known = cluster_->ask(0, "nodes");
      return std::ranges::count_if(known.at("nodes"), [](const apps::json& n) {
               return n.value("sessions", 0) > 0;
             }) >= static_cast<std::ptrdiff_t>(members - 1);
    })) << cluster_->ask(0, "nodes");
  }
  std::unique_ptr<asked_request> ask(const grouped_request& r) {
    return std::make_unique<asked_request>(*cluster_, std::vector<std::size_t>{0}, r.arguments);
  }
  void expect_same(asked_request& asked, const supervision::run_report& wanted) {
    const apps::json data = asked.answer();
    ASSERT_EQ(asked.failure(), "") << cluster_->last_words();
    EXPECT_EQ(data.at("transcript"), to_hex(wanted.transcript));
    EXPECT_EQ(data.at("tokens").get<std::vector<token_id>>(), wanted.tokens);
    path_names_ = {};
    for (const apps::json& stage : data.at("path")) {
      path_names_ += stage.at("name").get<std::string>() + " ";
    }
  }

  temporary_folder folder_;
  std::string path_;
  std::unique_ptr<storage::env> env_ = storage::make_env_posix();
  std::optional<test_cluster> cluster_;
  std::string path_names_; ///< of the last request
};

TEST_F(group_of_processes, has_one_digest_whether_of_one_two_or_three) {
  const grouped_request greedy = request_of(40, true, 320);
  const grouped_request drawn = request_of(40, false, 320);
  const auto wanted_greedy = alone(greedy);
  const auto wanted_drawn = alone(drawn);
  for (const std::size_t members : {1U, 2U, 3U}) {
    ASSERT_NO_FATAL_FAILURE(start(members));
    auto one = ask(greedy);
    ASSERT_NO_FATAL_FAILURE(expect_same(*one, wanted_greedy)) << members;
    if (members > 1) {
      EXPECT_EQ(path_names_, "leader ");
      EXPECT_THAT(log_of(leader), HasSubstr("computes new requests from now on"));
    }
    auto first = ask(drawn); // two at once, in one pass
    auto second = ask(greedy);
    ASSERT_NO_FATAL_FAILURE(expect_same(*first, wanted_drawn)) << members;
    ASSERT_NO_FATAL_FAILURE(expect_same(*second, wanted_greedy)) << members;
    EXPECT_THAT(log_of(leader), testing::Not(HasSubstr("is no more"))) << "the group computed all";
  }
}

TEST_F(group_of_processes, goes_on_with_the_same_bytes_when_members_die_and_freeze) {
  const grouped_request r = request_of(300, true, 320);
  const auto wanted = alone(r);
  ASSERT_NO_FATAL_FAILURE(start(3));
  auto killed = ask(r);
  ASSERT_TRUE(killed->wait_for_tokens(20)) << cluster_->last_words();
  cluster_->kill(3);
  ASSERT_NO_FATAL_FAILURE(expect_same(*killed, wanted));
  EXPECT_EQ(path_names_, "leader ");
  // It had computed the prompt and those tokens by then, and knew at once that a link was gone.
  ASSERT_TRUE(wait_for_lines("is no more after [1-9]\\d+ passes: member [12].*(is gone|left it)"))
      << log_of(leader);
  ASSERT_NO_FATAL_FAILURE(wait_for_group(2)); // those that are left
  auto frozen = ask(r);
  ASSERT_TRUE(frozen->wait_for_tokens(20)) << cluster_->last_words();
  cluster_->freeze(2);
  ASSERT_NO_FATAL_FAILURE(expect_same(*frozen, wanted));
  ASSERT_TRUE(wait_for_lines("is no more", 2)) << log_of(leader);
  cluster_->thaw(2);
}

TEST_F(group_of_processes, whose_leader_dies_leaves_its_requests_to_others) {
  const grouped_request r = request_of(300, true, 320);
  const auto wanted = alone(r);
  ASSERT_NO_FATAL_FAILURE(start(2));
  auto asked = ask(r);
  ASSERT_TRUE(asked->wait_for_tokens(20)) << cluster_->last_words();
  cluster_->kill(leader);
  ASSERT_NO_FATAL_FAILURE(expect_same(*asked, wanted));
  EXPECT_THAT(path_names_, HasSubstr("second"));
  EXPECT_TRUE(cluster_->wait_until([&] {
    return log_of(2).find("left group") != std::string::npos;
  })) << log_of(2);
}

} // namespace
} // namespace ovir::test
