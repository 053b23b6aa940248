// A swarm that is open: machines join by an address alone, as workers, and get a newcomer's part.
#include "messages/limits/strangers.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/cluster_shell.hpp"
#include "tests/support/cluster/link_node.hpp"
#include "tests/support/cluster/metrics_page.hpp"
#include "tests/support/model/gguf_builder.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ovir::test {
namespace {

using apps::json;
using testing::HasSubstr;

constexpr std::chrono::seconds open_patience{120};
/// As in up_test.cpp: for three of the eight layers.
constexpr const char* room_for_three_layers = "37M";

class open_cluster : public ::testing::Test {
protected:
  struct machine {
    std::string name;
    std::unique_ptr<child_process> process;
    json told; ///< join, open, http, shells
    std::unique_ptr<cluster_shell> shell{};
  };

  machine& add(const std::vector<std::string>& more) {
    const std::string name = fmt::format("m{}", machines_.size() + 1);
    std::vector<std::string> words{
        ovir_program(), "up",          "--name", name,          "--folder", folder_.path() / name,
        "--listen",     "127.0.0.1:0", "--http", "127.0.0.1:0", "--shells", "127.0.0.1:0",
        "--threads",    "1",           "--json"};
    words.insert(words.end(), more.begin(), more.end());
    machines_.push_back({name, nullptr, {}});
    start(machines_.back(), words);
    return machines_.back();
  }
  void start(machine& made, const std::vector<std::string>& words) {
    child_options how;
    how.environment["OVIR_OPERATOR"] = operator_.string();
    how.deadline = std::chrono::seconds{600};
    how.dies_with_thread = true;
    made.process = std::make_unique<child_process>(words, how);
    made.told = nullptr;
    made.shell.reset();
    std::string said;
    while (made.told.is_null() || made.told.is_discarded()) {
      const std::string said_more = made.process->wait_for_output(said.size() + 1);
      if (said_more.size() == said.size()) {
        throw std::runtime_error("ovir up did not start: " + made.process->wait().err);
      }
      said = said_more;
      made.told = json::parse(said, nullptr, false);
    }
  }
  void kill(machine& one) {
    one.process->send_signal(SIGKILL);
    (void)one.process->wait();
    one.process.reset();
  }

  [[nodiscard]] cluster_shell& shell(std::size_t i) {
    std::unique_ptr<cluster_shell>& known = machines_[i].shell;
    if (!known) {
      known = std::make_unique<cluster_shell>(
          cluster_shell::options{.key_file = operator_ / "admin.key",
                                 .addresses = {machines_[i].told.at("shells").get<std::string>()},
                                 .deadline = open_patience});
    }
    return *known;
  }
  [[nodiscard]] json nodes(std::size_t i) { return shell(i).data("nodes").at("nodes"); }
  /// Where anybody joins.
  [[nodiscard]] std::string door(std::size_t i = 0) const {
    return machines_[i].told.at("open").get<std::string>();
  }
  [[nodiscard]] std::uint16_t http_port(std::size_t i) const {
    const auto address = machines_[i].told.at("http").get<std::string>();
    return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
  }
  [[nodiscard]] static bool wait_until(const std::function<bool()>& holds) {
    for (const auto end = std::chrono::steady_clock::now() + open_patience;
         std::chrono::steady_clock::now() < end;) {
      if (holds()) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  }
  [[nodiscard]] json ask(std::size_t i, std::uint64_t id) {
    std::vector<token_id> tokens;
    for (std::uint32_t t = 0; t < 40; ++t) {
      tokens.push_back(3 + (t * 7919) % 250);
    }
    const apps::shell_outcome outcome =
        shell(i).call("run", {{"request", fmt::format("{:016x}", id)},
                              {"tokens", tokens},
                              {"max_tokens", 24},
                              {"temperature", 0.8},
                              {"cache", "off"},
                              {"seed", 11}});
    EXPECT_EQ(failure_text(outcome), "");
    const auto* const data = std::get_if<json>(&outcome);
    return data == nullptr ? json::object() : *data;
  }

  /// A key that dials with these wishes. Its end may count as linked before the other one has
  /// judged.
  [[nodiscard]] std::unique_ptr<link_node> knock(std::uint8_t key, role_set wants) {
    actors::tls_options how;
    how.identity.cluster = cluster_;
    how.identity.roles = wants;
    auto node = std::make_unique<link_node>(key, how);
    node->net->connect(door(), actors::channel::control, {});
    EXPECT_TRUE(
        wait_until([&] { return node->heard.connections() > 0 || node->heard.endings() > 0; }));
    return node;
  }
  /// Why a key that comes with these wishes is not let in.
  [[nodiscard]] std::string refusal(std::uint8_t key, role_set wants) {
    const auto node = knock(key, wants);
    const auto ending = node->heard.wait_closed();
    return ending ? ending->reason.message : "it was let in";
  }
  /// Strangers that are linked, and how many were refused for want of a place.
  [[nodiscard]] std::pair<double, double> strangers() {
    const metrics_page page = read_metrics(http_port(0));
    return {page.at("ovir_strangers"), page.at("ovir_strangers_refused_total")};
  }

  temporary_folder folder_;
  std::filesystem::path operator_ = folder_.path() / "operator";
  std::string cluster_; ///< empty: asked for
  std::vector<machine> machines_;
};

TEST_F(open_cluster, is_joined_by_one_address_and_served_by_machines_that_have_no_leave) {
  const std::filesystem::path model = folder_.path() / "synthetic.gguf";
  compute::synth_spec large;
  large.layers = 8;
  large.dim = 512;
  large.ffn_dim = 2'048;
  large.heads = 8;
  large.kv_heads = 1;
  write_file(model, synthetic_model(large));
  const std::vector<std::string> first{"--open", "-m", model.string(), "--context", "256"};
  add(first);
  ASSERT_TRUE(wait_until([&] { return !nodes(0).at(0).at("held").empty(); }));
  const json right = ask(0, 1);
  kill(machines_[0]);
  machines_.clear();
  std::filesystem::remove_all(folder_.path() / "m1");

  std::vector<std::string> small = first;
  small.insert(small.end(), {"--memory", room_for_three_layers});
  add(small);
  const std::string port = door().substr(door().rfind(':'));
  // A name with more than one address, at one of which nothing listens; and a newcomer's address.
  add({"--join", "localhost" + port, "--context", "256", "--memory", room_for_three_layers});
  ASSERT_TRUE(wait_until([&] { return nodes(1).size() == 2; }));
  add({"--join", door(1), "--context", "256", "--memory", room_for_three_layers});
  const auto whole = [&] {
    const json models = shell(0).data("models").at("models");
    return nodes(0).size() == 3 && !models.empty() && models.at(0).at("complete") == true;
  };
  ASSERT_TRUE(wait_until(whole)) << shell(0).data("placement");
  for (const json& node : nodes(0)) {
    const bool stranger = node.at("name") != "m1";
    EXPECT_EQ(node.at("newcomer"), stranger) << node;
    EXPECT_EQ(node.at("roles") == json{"worker"}, stranger) << node;
  }
  const json told = ask(0, 2);
  for (const char* const key : {"text", "tokens", "transcript", "finish_reason"}) {
    EXPECT_EQ(told.at(key), right.at(key)) << key;
  }
  EXPECT_GT(told.at("path").size(), 1U) << "newcomers computed, too";
}

TEST_F(open_cluster, gives_fresh_keys_of_one_address_their_part_and_keeps_out_who_was_put_out) {
  add({"--open"});
  ASSERT_TRUE(wait_until([&] { return !nodes(0).empty(); }));
  const role_set worker = role_set{}.add(role::worker);
  for (const role wanted : {role::verifier, role::scheduler, role::ledger, role::relay}) {
    EXPECT_THAT(refusal(1, role_set{worker}.add(wanted)), HasSubstr("may be worker alone"));
  }

  std::vector<std::unique_ptr<link_node>> all;
  for (std::uint8_t key = 2; key < 102; ++key) {
    all.push_back(knock(key, worker));
  }
  constexpr std::size_t part = limits::strangers_per_site_max; // of 100 keys at one address
  EXPECT_TRUE(wait_until([&] {
    return strangers() == std::pair<double, double>{part, 100 - part};
  }));
  std::size_t refused = 0;
  EXPECT_TRUE(wait_until([&] {
    refused = static_cast<std::size_t>(std::count_if(
        all.begin(), all.end(), [](const auto& one) { return one->heard.endings() > 0; }));
    return refused == 100 - part;
  })) << refused;
  for (const auto& one : all) {
    if (one->heard.endings() > 0) {
      EXPECT_THAT(one->heard.wait_closed()->reason.message, HasSubstr("one network may have"));
    }
  }
  all.clear();

  // Put out: also when the node is started again, and another key comes in.
  EXPECT_EQ(failure_text(shell(0).call("kick", {{"node", to_hex(key_of(2).id())}})), "");
  EXPECT_THAT(refusal(2, worker), HasSubstr("was kicked"));
  kill(machines_[0]);
  start(machines_[0], {ovir_program(), "up", "--folder", folder_.path() / "m1", "--json"});
  EXPECT_THAT(refusal(2, worker), HasSubstr("was kicked"));
  const auto other = knock(3, worker);
  EXPECT_TRUE(wait_until([&] { return strangers().first == 1; }));
  EXPECT_EQ(other->heard.endings(), 0U);
}

TEST_F(open_cluster, is_refused_where_a_cluster_is_not_open) {
  add({});
  EXPECT_TRUE(machines_[0].told.at("open").is_null());
  const std::string line = machines_[0].told.at("join").get<std::string>();
  const child_result no =
      run_ovir({"up", "--folder", folder_.path() / "x", "--join", line.substr(0, line.find('/'))});
  EXPECT_NE(no.exit_code, 0);
  EXPECT_THAT(no.err, HasSubstr("without an invitation"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "x" / "node.toml"));
}

} // namespace
} // namespace ovir::test
