// What every node of a cluster of processes tells Prometheus: as docs/metrics.md says it, as
// Prometheus' own checker wants it, and each of it moved by what happens to nodes and requests.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/metrics_page.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/ledger/paid_requests.hpp"
#include "tests/support/model/gguf_builder.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <stdexcept>
#include <vector>

namespace ovir::test {
namespace {

using steady = std::chrono::steady_clock;
using names = std::set<std::string>;

// Which test below moves what; together, and with those of gateways, all there are.
const names of_requests{"ovir_members",
                        "ovir_links",
                        "ovir_link_received_bytes_total",
                        "ovir_link_sent_bytes_total",
                        "ovir_link_shared_received_bytes_total",
                        "ovir_link_shared_sent_bytes_total",
                        "ovir_restarts_total",
                        "ovir_metrics_unanswered_total",
                        "ovir_pool_jobs_total",
                        "ovir_pool_jobs_waiting",
                        "ovir_requests_total",
                        "ovir_requests_running",
                        "ovir_requests_waiting",
                        "ovir_requests_refused_total",
                        "ovir_tokens_drawn_total",
                        "ovir_tokens_drafted_total",
                        "ovir_tokens_accepted_total",
                        "ovir_step_duration_seconds",
                        "ovir_step_slack_seconds",
                        "ovir_steps_late_total",
                        "ovir_recoveries_total",
                        "ovir_receipts_total",
                        "ovir_unaudited_receipts_total",
                        "ovir_statements_signed_total",
                        "ovir_sessions",
                        "ovir_session_bytes",
                        "ovir_stages",
                        "ovir_stage_passes_total",
                        "ovir_stage_positions_total",
                        "ovir_stage_compute_seconds_total"};
const names of_caches{"ovir_cache_hits_total",          "ovir_cache_misses_total",
                      "ovir_cache_answers_total",       "ovir_cache_saved_seconds_total",
                      "ovir_cache_memory_bytes",        "ovir_cache_memory_entries",
                      "ovir_cache_evictions_total",     "ovir_cache_disk_bytes",
                      "ovir_cache_kept_total",          "ovir_cache_damaged_total",
                      "ovir_cache_served_blocks_total", "ovir_cache_fetched_blocks_total",
                      "ovir_cache_fetched_bytes_total"};
const names of_ledgers{"ovir_audit_receipts_total",   "ovir_audit_units_total",
                       "ovir_audit_mismatches_total", "ovir_audits_waiting",
                       "ovir_convicted_members",      "ovir_ledger_commands_total",
                       "ovir_ledger_refusals_total",  "ovir_ledger_commit_duration_seconds",
                       "ovir_ledger_entries",         "ovir_ledger_open_requests",
                       "ovir_ledger_pending_windows", "ovir_payments_open_requests",
                       "ovir_payments_head_entries",  "ovir_payments_refusals_total"};
/// What no honest cluster moves: tests/hostile/hole_10 moves the counter, and a gauge of clocks
/// that agree stays at 0.
const names of_attacks{"ovir_ledger_clock_ahead_seconds", "ovir_payments_unordered_total",
                       "ovir_payments_unentered_total"};

const names of_quic{"ovir_quic_connections", "ovir_quic_received_bytes_total",
                    "ovir_quic_sent_bytes_total", "ovir_quic_datagrams_sent_total",
                    "ovir_quic_rtt_seconds"};
/// This machine's loopback loses none: tests/unit/actors/quic/quic_endpoint_test.cpp moves what it
/// counts.
const names of_lossy_lines{"ovir_quic_datagrams_lost_total"};

/// ledger/keepers_test.cpp moves these.
const names of_keepers{"ovir_ledger_leads", "ovir_ledger_term", "ovir_ledger_agreed_orders",
                       "ovir_ledger_signed_entries", "ovir_ledger_hand_overs_total"};

/// Reads the pages of a cluster's nodes, and remembers what moved since the first time.
class watch {
public:
  /// Gives each node an address for Prometheus; before any is started.
  explicit watch(test_cluster& cluster) : cluster_(cluster) {
    for (std::size_t i = 0; i < cluster.size(); ++i) {
      ports_.push_back(free_port());
      std::ofstream file{cluster.config(i), std::ios::app};
      file << fmt::format("\n[metrics]\nlisten = \"127.0.0.1:{}\"\n", ports_.back());
    }
  }

  void begin() {
    for (std::size_t i = 0; i < ports_.size(); ++i) {
      const auto answers = [&] {
        try {
          first_.push_back(page(i));
          return true;
        } catch (const std::runtime_error&) { // it is being started
          return false;
        }
      };
      if (!cluster_.wait_until(answers)) {
        throw std::runtime_error("a node shows no page of metrics\n" + cluster_.last_words());
      }
    }
  }
  [[nodiscard]] metrics_page page(std::size_t i) const { return read_metrics(ports_.at(i)); }

  void look() {
    for (std::size_t i = 0; i < ports_.size(); ++i) {
      if (cluster_.running(i)) {
        look_at(i);
      }
    }
  }
  void look_at(std::size_t i) {
    try {
      const metrics_page now = page(i);
      moved_.merge(now.moved_since(first_.at(i)));
      check_documented(now);
    } catch (const std::runtime_error&) { // it is being started
    }
  }
  /// Looks until all of these moved.
  [[nodiscard]] bool sees(const names& wanted) {
    return cluster_.wait_until([&] {
      look();
      return missing(wanted).empty();
    });
  }
  [[nodiscard]] names missing(const names& wanted) const {
    names left;
    for (const std::string& name : wanted) {
      if (!moved_.contains(name)) {
        left.insert(name);
      }
    }
    return left;
  }

  void please_promtool() const {
    for (std::size_t i = 0; i < ports_.size(); ++i) {
      if (cluster_.running(i)) {
        const std::string text = page(i).text();
        for (const promtool_answer& answer : ask_promtool(text)) {
          EXPECT_EQ(answer.exit_code, 0) << answer.said << text;
          EXPECT_EQ(answer.said, "") << "it only warns";
        }
      }
    }
  }

private:
  static void check_documented(const metrics_page& page) {
    static const auto documented = documented_metrics();
    for (const auto& [name, type] : page.types()) {
      const auto found = documented.find(name);
      ASSERT_NE(found, documented.end()) << name << " is not in docs/metrics.md";
      EXPECT_EQ(found->second.type, type) << name;
      EXPECT_THAT(found->second.labels, testing::IsSupersetOf(page.labels(name))) << name;
    }
  }

  test_cluster& cluster_;
  std::vector<std::uint16_t> ports_;
  std::vector<metrics_page> first_;
  names moved_;
};

class node_metrics : public ::testing::Test {
protected:
  static apps::json request(std::uint32_t prompt, std::uint32_t salt, std::uint32_t max_tokens) {
    static std::uint64_t last = 0;
    std::vector<token_id> tokens;
    for (std::uint32_t i = 0; i < prompt; ++i) {
      tokens.push_back(3 + (i * 7919 + salt * 31) % 250);
    }
    return {{"request", fmt::format("{:016x}", 0x1000 + ++last)},
            {"tokens", tokens},
            {"max_tokens", max_tokens}};
  }
  /// Of a text that repeats itself some guesses are right.
  static apps::json repeating_request() {
    apps::json asked = request(40, 1, 60);
    for (std::size_t i = 0; i < 40; ++i) {
      asked["tokens"][i] = 3 + i % 7;
    }
    asked["speculate"] = "on";
    return asked;
  }
  static std::string failure(const test_cluster& cluster, const apps::json& args) {
    cluster_shell shell = cluster.shell({0});
    return failure_text(shell.call("run", args));
  }
  /// Looks until the first node says that it has no request left. A page may lack what its part did
  /// not answer in time.
  static bool idle(const test_cluster& cluster, watch& seen) {
    return cluster.wait_until(
        [&] {
          seen.look();
          const metrics_page front = seen.page(0);
          return front.types().contains("ovir_requests_running") &&
                 front.at("ovir_requests_running") == 0 && front.at("ovir_requests_waiting") == 0;
        },
        std::chrono::seconds{90});
  }
  /// The one that a long answer needs, for so many times the least slack of a step. A stage that is
  /// complained of gets twice the time: how late a step is depends on how fast the worker comes
  /// back.
  static void lose_a_worker(test_cluster& cluster, watch& seen, std::uint32_t wait) {
    apps::json another = request(8, 900 + wait, 3'000);
    another["wait"] = false;
    EXPECT_EQ(failure(cluster, another), "");
    const double drawn = seen.page(0).at("ovir_tokens_drawn_total");
    ASSERT_TRUE(cluster.wait_until(
        [&] { return seen.page(0).at("ovir_tokens_drawn_total") > drawn + 100; }));
    cluster.kill(2);
    const steady::time_point gone = steady::now();
    ASSERT_TRUE(cluster.wait_until([&] {
      seen.look();
      return steady::now() - gone > wait * limits::slack_min;
    }));
    cluster.start(2);
    EXPECT_TRUE(idle(cluster, seen)) << seen.page(0).text();
  }
  /// Nothing when it is being restarted already.
  static void crash_cache(const test_cluster& cluster, std::size_t i) {
    cluster_shell shell = cluster.shell({i});
    const std::string refused =
        failure_text(shell.call("chaos crash " + cluster.node(i).name + " --actor cache"));
    EXPECT_THAT(refused, testing::AnyOf(testing::IsEmpty(), testing::StartsWith("not_found")));
  }

  temporary_folder folder_;
  std::filesystem::path model_ = folder_.path() / "synthetic.gguf";
};

TEST_F(node_metrics, those_of_requests_move_when_workers_die_and_too_many_ask) {
  compute::synth_spec shape;
  shape.layers = 8;
  shape.context = 4'096;
  write_file(model_, synthetic_model(shape));
  cluster_spec spec;
  spec.nodes = {{"front", {"scheduler"}, {{model_.string()}}},
                {"left", {"worker"}, {{model_.string(), "0-3"}}},
                {"right", {"worker"}, {{model_.string(), "4-7"}}}};
  spec.cache = "enabled = true";
  test_cluster cluster{spec};
  watch seen{cluster};
  cluster.start();
  seen.begin();
  apps::json signed_one = request(40, 1, 60);
  signed_one["receipt"] = true;
  EXPECT_EQ(failure(cluster, signed_one), "") << cluster.last_words();
  EXPECT_EQ(failure(cluster, repeating_request()), "");
  apps::json long_one = request(8, 2, 3'000);
  long_one["wait"] = false;
  EXPECT_EQ(failure(cluster, long_one), "");
  ASSERT_TRUE(seen.sees({"ovir_requests_running", "ovir_sessions", "ovir_session_bytes"}));
  ASSERT_TRUE(cluster.wait_until([&] { return seen.page(0).at("ovir_tokens_drawn_total") > 100; }));
  cluster.kill(2);
  const steady::time_point killed = steady::now();
  cluster_shell shell = cluster.shell({0});
  constexpr auto too_many = limits::requests_active_max + limits::requests_waiting_max + 16;
  for (std::uint32_t i = 0; i < too_many; ++i) {
    apps::json more = request(40, 3 + i, 4);
    more["wait"] = false;
    more["receipt"] = true;
    EXPECT_EQ(failure_text(shell.call("run", more)), "");
  }
  // Longer than a step's slack: the one under way is late.
  ASSERT_TRUE(cluster.wait_until([&] {
    seen.look();
    return steady::now() - killed > 2 * limits::slack_min;
  }));
  EXPECT_TRUE(seen.sees({"ovir_requests_waiting", "ovir_requests_refused_total", "ovir_members"}));
  cluster.start(2);
  EXPECT_TRUE(idle(cluster, seen)) << seen.page(0).text();
  for (std::uint32_t wait = 1; wait <= 5 && !seen.missing({"ovir_steps_late_total"}).empty();
       wait += 2) {
    lose_a_worker(cluster, seen, wait);
  }
  // Jobs wait for moments, which may be over whenever somebody looks.
  for (std::uint32_t i = 0; i < 8 && !seen.missing({"ovir_pool_jobs_waiting"}).empty(); ++i) {
    for (std::uint32_t j = 0; j < limits::requests_active_max; ++j) {
      apps::json more = request(40, 1'000 + i * limits::requests_active_max + j, 4);
      more["wait"] = false;
      more["receipt"] = true;
      EXPECT_EQ(failure_text(shell.call("run", more)), "");
    }
    EXPECT_TRUE(idle(cluster, seen)) << seen.page(0).text();
  }
  // Whoever is asked while it is being restarted does not answer. Some crashes in a row are all
  // that a supervisor takes.
  for (int crashes = 1; crashes <= 12 && !seen.missing({"ovir_metrics_unanswered_total"}).empty();
       ++crashes) {
    crash_cache(cluster, 1);
    seen.look_at(1);
    const steady::time_point begun = steady::now();
    while (crashes % 4 == 0 && steady::now() - begun < std::chrono::seconds{6}) {
      seen.look();
    }
  }
  EXPECT_TRUE(seen.sees({"ovir_restarts_total"}));
  EXPECT_THAT(seen.missing(of_requests), testing::IsEmpty());
  seen.please_promtool();
}

TEST_F(node_metrics, those_of_caches_move_when_units_are_reused_fetched_evicted_and_damaged) {
  // Large enough that everybody expects fetching to be faster than computing.
  compute::synth_spec large;
  large.layers = 8;
  large.dim = 512;
  large.ffn_dim = 2'048;
  large.heads = 8;
  large.kv_heads = 1;
  write_file(model_, synthetic_model(large));
  cluster_spec spec;
  spec.nodes = {{"front", {"scheduler"}, {{model_.string()}}},
                {"left", {"worker"}, {{model_.string(), "0-3"}}},
                {"right", {"worker"}, {{model_.string(), "4-7"}}},
                {"spare", {"worker"}, {{"embedded"}}}};
  spec.cache = "enabled = true\nmemory_mib = 1";
  test_cluster cluster{spec};
  watch seen{cluster};
  cluster.start();
  seen.begin();
  const auto ask = [&](std::uint32_t salt, std::uint32_t tokens) {
    EXPECT_EQ(failure(cluster, request(100, salt, tokens)), "") << cluster.last_words();
  };
  ask(1, 8);
  ask(1, 8); // the answer is kept
  ask(1, 9);
  EXPECT_TRUE(seen.sees({"ovir_cache_answers_total", "ovir_cache_misses_total"}));
  EXPECT_GT(seen.page(1).at("ovir_cache_hits_total{tier=\"memory\"}"), 0);
  ASSERT_TRUE(cluster.wait_until([&] {
    const apps::json members = cluster.ask(3, "cache").at("peers").at("members");
    return std::count_if(members.begin(), members.end(),
                         [](const auto& m) { return m.at("names") == 12; }) == 2;
  }));
  ASSERT_TRUE(cluster.wait_until([&] { return cluster.ask(2, "cache").at("unwritten") == 0; }));
  cluster.kill(2);
  cluster_shell spare = cluster.shell({3});
  cluster.start(2);
  cluster.wait_until_whole();
  (void)cluster.shell({1}).data("unload synthetic.gguf");
  (void)spare.data(fmt::format("load {} --first 0 --last 3", model_.string()));
  ASSERT_TRUE(cluster.wait_until([&] {
    const apps::json models = cluster.ask(0, "models").at("models");
    return std::any_of(models.begin(), models.end(), [](const apps::json& model) {
      return model.at("complete") == true && model.at("holders").size() == 2;
    });
  }));
  ask(1, 10);
  EXPECT_TRUE(seen.sees({"ovir_cache_fetched_blocks_total", "ovir_cache_served_blocks_total"}));
  EXPECT_GT(seen.page(3).at("ovir_cache_hits_total{tier=\"peers\"}"), 0);
  EXPECT_GT(seen.page(2).at("ovir_cache_hits_total{tier=\"disk\"}"), 0) << seen.page(2).text();
  for (std::uint32_t salt = 2; salt < 40 && !seen.missing({"ovir_cache_evictions_total"}).empty();
       ++salt) {
    ask(salt, 2);
    seen.look();
  }
  ASSERT_TRUE(cluster.wait_until([&] { return cluster.ask(2, "cache").at("unwritten") == 0; }));
  cluster.kill(2);
  const auto blocks = cluster.state(2) / "store/blocks";
  std::string bytes = read_file(blocks);
  for (std::size_t at = 300; at < bytes.size(); at += 4'096) {
    bytes[at] = static_cast<char>(bytes[at] ^ 4);
  }
  write_file(blocks, bytes);
  cluster.start(2);
  cluster.wait_until_whole();
  ask(1, 11);
  EXPECT_TRUE(seen.sees(of_caches));
  EXPECT_THAT(seen.missing(of_caches), testing::IsEmpty());
  seen.please_promtool();
}

class paid_metrics : public paid_requests {
protected:
  static constexpr std::uint32_t burst = 16;
  static constexpr std::uint32_t bursts_max = 16;

  /// So many requests at once, for whose ends nobody waits.
  void ask() {
    cluster_shell shell = paid_->nodes().shell({paid_->nodes().index_of("front")});
    for (std::uint32_t i = 0; i < burst; ++i) {
      apps::json order = paid_cluster::order(++last_, 60);
      // Each about something else: who lies later is to differ from what is computed, not from what
      // it said itself.
      order["tokens"][0] = 3 + last_ % 250;
      order["wait"] = false;
      EXPECT_EQ(failure_text(shell.call("run", order)), "");
    }
  }
  /// Asks, and looks without a pause until these moved or enough was asked.
  [[nodiscard]] bool asks_until(watch& seen, const names& wanted,
                                const std::vector<std::size_t>& where) {
    for (std::uint32_t i = 0; i < bursts_max; ++i) {
      ask();
      const steady::time_point begun = steady::now();
      while (steady::now() - begun < std::chrono::seconds{3}) {
        for (const std::size_t node : where) {
          seen.look_at(node);
        }
        if (seen.missing(wanted).empty()) {
          return true;
        }
      }
    }
    return false;
  }

private:
  std::uint64_t last_ = 1;
};

TEST_F(paid_metrics, those_of_ledger_and_audits_move_when_requests_are_paid_and_a_liar_is_found) {
  paid_.emplace(paid_cluster::options{.newcomer_units = 4'096, .liar = OVIR_LIAR_PROGRAM});
  test_cluster& cluster = paid_->nodes();
  const std::size_t two = cluster.index_of("two");
  const std::size_t front = cluster.index_of("front");
  const std::size_t check = cluster.index_of("check");
  cluster.set_environment(two, "OVIR_LIE_PPM", "0"); // for the time being
  watch seen{cluster};
  cluster.start();
  ASSERT_NO_FATAL_FAILURE(wait_for_ledger());
  seen.begin();
  EXPECT_NE(paid_->run(1, 60), "") << "there are no credits yet";
  EXPECT_TRUE(seen.sees({"ovir_ledger_refusals_total", "ovir_payments_refusals_total"}));
  paid_->mint("front", 100'000 * paid_cluster::credit);
  paid_->mint("two", 20'000 * paid_cluster::credit);
  paid_->stake("two", 20'000 * paid_cluster::credit);
  // Audits wait for moments, which may be over whenever somebody looks, and after a conviction
  // there is nobody left whose units could be audited: first these, then the lies.
  EXPECT_TRUE(asks_until(seen, {"ovir_audits_waiting"}, {front, check})) << state();
  cluster.kill(two);
  cluster.set_environment(two, "OVIR_LIE_PPM", "1000000");
  cluster.start(two);
  cluster.wait_until_whole();
  EXPECT_TRUE(asks_until(seen, {"ovir_audit_mismatches_total"}, {front, check})) << state();
  EXPECT_TRUE(seen.sees(of_ledgers)) << testing::PrintToString(seen.missing(of_ledgers)) << state();
  seen.please_promtool();
}

/// Names of metrics that the sources write, those of gateways aside: metrics_test.cpp moves these.
names written_by_code() {
  static const std::regex literal{R"re("(ovir_[a-z_]+))re"};
  names found;
  for (const char* const folder : {"actors", "supervision", "ledger", "storage", "compute"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator{source_file(folder)}) {
      if (entry.path().extension() != ".cpp") {
        continue;
      }
      const std::string text = read_file(entry.path());
      for (std::sregex_iterator at{text.begin(), text.end(), literal}, end; at != end; ++at) {
        found.insert((*at)[1].str());
      }
    }
  }
  return found;
}

TEST_F(node_metrics, those_of_quic_move_where_links_go_over_it) {
  cluster_spec spec;
  spec.nodes = {{"front", {"scheduler"}, {{"embedded"}}}, {"worker", {"worker"}, {{"embedded"}}}};
  test_cluster cluster{spec};
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    std::ofstream{cluster.config(i), std::ios::app} << "\n[link]\ntransport = \"quic\"\n";
  }
  watch seen{cluster};
  cluster.start();
  seen.begin();
  EXPECT_EQ(failure(cluster, request(40, 1, 20)), "") << cluster.last_words();
  EXPECT_GE(seen.page(0).at("ovir_quic_connections"), 1) << "links stand before the first look";
  names moving = of_quic;
  moving.erase("ovir_quic_connections");
  EXPECT_TRUE(seen.sees(moving));
  EXPECT_THAT(seen.missing(moving), testing::IsEmpty());
}

TEST(metrics_of_nodes, are_all_moved_by_a_test) {
  names moved = of_requests;
  moved.insert(of_caches.begin(), of_caches.end());
  moved.insert(of_ledgers.begin(), of_ledgers.end());
  moved.insert(of_keepers.begin(), of_keepers.end());
  moved.insert(of_attacks.begin(), of_attacks.end());
  moved.insert(of_quic.begin(), of_quic.end());
  moved.insert(of_lossy_lines.begin(), of_lossy_lines.end());
  // open_cluster_test.cpp moves the first two; the third takes strangers of several networks, whom
  // stranger_door_test.cpp counts.
  for (const char* const name :
       {"ovir_strangers", "ovir_strangers_refused_total", "ovir_strangers_replaced_total"}) {
    moved.insert(name);
  }
  names documented;
  for (const auto& [name, what] : documented_metrics()) {
    if (!name.starts_with("ovir_gateway_")) { // metrics_test.cpp moves these
      documented.insert(name);
    }
  }
  EXPECT_EQ(moved, documented);
  EXPECT_EQ(moved, written_by_code());
}

} // namespace
} // namespace ovir::test
