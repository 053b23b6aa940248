// Three nodes as processes that keep the ledger together, with the shipped defaults: a scheduler
// that charges one statement to two reservations is convicted by all of them.
#include "ledger/keeper/message.hpp"
#include "ledger/log/log.hpp"
#include "ledger/rules/attest.hpp"
#include "storage/env/durable_file.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/cluster_shell.hpp"
#include "tests/support/cluster/fake_node.hpp"
#include "tests/support/cluster/hostile_peer.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

namespace ovir::test {
namespace {

using apps::json;

constexpr std::size_t keepers_of_all = 3;
constexpr std::uint8_t cheat = 0x62;

class charged_twice : public ::testing::Test {
protected:
  struct machine {
    std::filesystem::path state;
    std::string config;
    std::string shells;
    std::string listen;
    std::uint16_t http{0};
    std::unique_ptr<child_process> process{};
  };

  /// As `ovir init` writes them, and with one more member.
  void start_all() {
    const std::uint32_t port = free_ports(3 * keepers_of_all);
    child_options options;
    options.environment["OVIR_OPERATOR"] = (folder_.path() / "operator").string();
    const json made = ovir_json({"init", "--nodes", "3", "--keepers", "3", "--folder",
                                 (folder_.path() / "nodes").string(), "--listen",
                                 fmt::format("127.0.0.1:{}", port), "--shells",
                                 fmt::format("127.0.0.1:{}", port + keepers_of_all), "--http",
                                 fmt::format("127.0.0.1:{}", port + 2 * keepers_of_all)},
                                options)["nodes"];
    options.deadline = std::chrono::minutes{10};
    options.dies_with_thread = true;
    for (std::size_t i = 0; i < made.size(); ++i) {
      machine m{made[i]["state"].get<std::string>(), made[i]["config"], made[i]["shells"],
                fmt::format("127.0.0.1:{}", port + i),
                static_cast<std::uint16_t>(port + 2 * keepers_of_all + i)};
      write_file(m.config, read_file(m.config) +
                               fmt::format("\n[[access]]\nkey = \"{}\"\nroles = [\"worker\"]\n",
                                           to_hex(key_of(cheat).id())));
      m.process = std::make_unique<child_process>(
          std::vector<std::string>{ovir_program(), "node", "-c", m.config}, options);
      nodes_.push_back(std::move(m));
    }
    for (const machine& m : nodes_) {
      wait_until_ready(m.http);
    }
  }
  void kill(machine& m) {
    m.process->send_signal(SIGKILL);
    (void)m.process->wait();
    m.process.reset();
  }
  /// Null where it does not answer.
  [[nodiscard]] json ask(const machine& m, const std::string& line) const {
    cluster_shell shell{{(folder_.path() / "operator" / "admin.key").string(),
                         {m.shells},
                         std::chrono::milliseconds{10'000}}};
    const auto said = shell.call(line);
    const json* const data = std::get_if<json>(&said);
    return data == nullptr ? json(nullptr) : *data;
  }
  [[nodiscard]] static bool until(const std::function<bool()>& holds) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{120};
    while (std::chrono::steady_clock::now() < end) {
      if (holds()) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  }
  [[nodiscard]] static std::vector<std::vector<std::byte>> log_of(const machine& m) {
    const auto file = storage::open_durable_file_to_read((m.state / "ledger" / "log").string());
    EXPECT_TRUE(file);
    std::vector<std::vector<std::byte>> entries;
    ledger::log_report report;
    EXPECT_TRUE(ledger::entry_log::read(
        **file,
        [&](std::uint64_t, std::span<const std::byte> bytes) -> result<void> {
          entries.emplace_back(bytes.begin(), bytes.end());
          return {};
        },
        report));
    return entries;
  }

  temporary_folder folder_;
  std::vector<machine> nodes_;
};

/// Two reservations of a key for the same, and an accrual to each for one statement.
std::vector<std::vector<std::byte>> two_charges(const secret_key& by,
                                                std::span<const std::byte> first_entry) {
  const digest ledger = ledger::leaf_hash(first_entry);
  const ledger::entry first = ledger::decode_entry(first_entry).value();
  const auto& keepers = std::get<ledger::genesis>(first.what).keepers;
  std::vector<ledger::command> all(4);
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}}) {
    ledger::reserve r;
    r.payer = by.id();
    r.about.bytes[0] = 1;
    r.prompt = 10;
    r.completion_max = 4;
    r.expires = first.time + 300;
    ledger::accrue a;
    for (const node_id& stage : {keepers[0], keepers[1]}) {
      r.stages.push_back({stage, 4, 1'000'000});
      a.computed.push_back(
          {stage, 1, 0, 4, 4, 0, hash("ovir/test/statement", std::as_bytes(std::span{stage.key}))});
    }
    r.nonce = n + 1;
    a.request = ledger::escrow_of(r);
    a.frontier = 1;
    a.scheduler = by.id();
    all[n] = r;
    all[2 + n] = a;
  }
  std::vector<std::vector<std::byte>> entries;
  for (const ledger::command& c : all) {
    ledger::encode({0, c, ledger::sign_action(by, ledger, c)}, entries.emplace_back());
  }
  return entries;
}

/// A link of the cheat's to a keeper.
class cheats_link {
public:
  explicit cheats_link(const std::string& address) : control_(address), data_(address) {
    for (const auto& [link, channel] : {std::pair{&control_, 1}, std::pair{&data_, 2}}) {
      hostile_tls tls;
      tls.key = cheat;
      EXPECT_TRUE(link->handshake(tls));
      hostile_hello hello;
      hello.channel = static_cast<std::uint16_t>(channel);
      hello.cluster = "local";
      EXPECT_EQ(link->introduce(hello), "");
    }
  }
  bool submit(std::vector<std::byte> entry) {
    const auto bytes =
        ledger::to_bytes(ledger::message{++asked_, ledger::submit{std::move(entry), {}}});
    return control_.message(credit_kind, static_cast<std::uint32_t>(bytes.size()), bytes);
  }

private:
  static constexpr std::uint16_t credit_kind = 9;
  hostile_peer control_;
  hostile_peer data_;
  std::uint64_t asked_{0};
};

TEST_F(charged_twice, convicts_the_scheduler_in_the_ledger_of_every_keeper) {
  ASSERT_NO_FATAL_FAILURE(start_all());
  const machine* leads = nullptr;
  ASSERT_TRUE(until([&] {
    const auto found = std::ranges::find_if(nodes_, [&](const machine& m) {
      const json seen = ask(m, "ledger keepers");
      return seen.is_object() && seen.value("leads", false);
    });
    leads = found == nodes_.end() ? nullptr : &*found;
    return leads != nullptr;
  }));
  const auto first = log_of(*leads).front();
  cheats_link link{leads->listen};
  for (auto& entry : two_charges(key_of(cheat), first)) {
    ASSERT_TRUE(link.submit(std::move(entry)));
  }
  const std::string question = "ledger balance " + to_hex(key_of(cheat).id());
  for (const machine& m : nodes_) {
    EXPECT_TRUE(until([&] {
      const json has = ask(m, question);
      return has.is_object() && has.value("ejected", false);
    })) << read_file(m.state / "node.log");
  }
  ASSERT_TRUE(until([&] {
    const json seen = ask(*leads, "ledger keepers");
    return seen.is_object() && std::ranges::all_of(nodes_, [&](const machine& m) {
             const json other = ask(m, "ledger keepers");
             return other.is_object() && other["entries"] == seen["entries"];
           });
  })) << "what one has, all have";
  for (machine& m : nodes_) {
    kill(m);
    const auto log = log_of(m);
    const auto convictions = std::ranges::count_if(log, [](const std::vector<std::byte>& bytes) {
      const ledger::entry e = ledger::decode_entry(bytes).value();
      const auto* const x = std::get_if<ledger::convict>(&e.what);
      return x != nullptr && x->guilty == key_of(cheat).id() &&
             x->kind == ledger::evidence_kind::double_charge;
    });
    EXPECT_EQ(convictions, 1) << m.state;
    EXPECT_TRUE(std::filesystem::exists(m.state / "ledger" / "evidence")) << m.state;
  }
}

} // namespace
} // namespace ovir::test
