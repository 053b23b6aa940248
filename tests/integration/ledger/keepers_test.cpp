// Five nodes as processes, three of which keep the ledger together, with the shipped defaults: no
// kill of a keeper loses or doubles what was promised, or stops a request.
#include "ledger/log/log.hpp"
#include "ledger/raft/letter.hpp"
#include "ledger/rules/command.hpp"
#include "messages/limits/keepers.hpp"
#include "storage/env/durable_file.hpp"
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/cluster_shell.hpp"
#include "tests/support/cluster/fake_node.hpp"
#include "tests/support/cluster/hostile_peer.hpp"
#include "tests/support/cluster/metrics_page.hpp"
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/http_client.hpp"
#include "tests/support/shared_files.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace ovir::test {
namespace {

using apps::json;
using steady = std::chrono::steady_clock;

constexpr std::size_t all_nodes = 5;
constexpr std::size_t all_keepers = 3;
constexpr std::size_t payer = 3; ///< makes transfers
constexpr std::size_t door = 4;  ///< answers over HTTP
constexpr std::uint64_t one_credit = 1'000'000;
constexpr std::uint64_t stake = 160 * one_credit;
constexpr std::chrono::seconds patience{120};

constexpr std::string_view paid_rules = R"(mode = "bonded"
[rules]
audit_window_s = 3600
newcomer_units = 100000
actions_per_minute_max = 1000000
[deterrence]
audit_rate_ppm = 150000
unit_fee = 32000000
saved = 25600000
stake = 160000000
planted_ppm = 50000
audit_fee = 8000000
audit_cost = 6400000
auditor_stake = 160000000
)";

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

class keepers_of_a_ledger : public ::testing::Test {
protected:
  struct machine {
    std::filesystem::path state;
    std::string config;
    std::string key;
    std::string listen;
    std::string shells;
    std::uint16_t http{0};
    std::uint16_t metrics{0};
    std::unique_ptr<child_process> process{};
  };

  /// As `ovir init` writes them; `paid`: with a ledger of other rules, by commands of its own.
  void make(bool paid) {
    const std::uint32_t port = free_ports(4 * all_nodes);
    options_.environment["OVIR_OPERATOR"] = (folder_.path() / "operator").string();
    const json made =
        ovir_json({"init", "--nodes", std::to_string(all_nodes), "--keepers",
                   std::to_string(all_keepers), "--folder", (folder_.path() / "nodes").string(),
                   "--listen", fmt::format("127.0.0.1:{}", port), "--shells",
                   fmt::format("127.0.0.1:{}", port + all_nodes), "--http",
                   fmt::format("127.0.0.1:{}", port + 2 * all_nodes)},
                  options_)["nodes"];
    for (std::size_t i = 0; i < made.size(); ++i) {
      machine m;
      m.state = made[i]["state"].get<std::string>();
      m.config = made[i]["config"];
      m.key = made[i]["node"];
      m.listen = fmt::format("127.0.0.1:{}", port + i);
      m.shells = made[i]["shells"];
      m.http = static_cast<std::uint16_t>(port + 2 * all_nodes + i);
      m.metrics = static_cast<std::uint16_t>(port + 3 * all_nodes + i);
      std::string text =
          read_file(m.config) + fmt::format("\n[metrics]\nlisten = \"127.0.0.1:{}\"\n"
                                            "\n[cache]\nenabled = false\n",
                                            m.metrics);
      if (paid) {
        text = replaced(text, "when_away = \"serve\"",
                        fmt::format("when_away = \"refuse\"\nstake = {}", stake));
      }
      write_file(m.config, text);
      nodes_.push_back(std::move(m));
    }
    if (paid) {
      begin_anew();
    }
  }
  void begin_anew() {
    const std::string rules = folder_.path() / "rules.toml";
    write_file(rules, std::string{paid_rules});
    for (std::size_t i = 0; i < all_keepers; ++i) {
      std::filesystem::remove_all(nodes_[i].state / "ledger");
    }
    const json begun =
        ovir_json({"ledger", "create", "--policy", rules, "--mint-key", nodes_[payer].key, "--with",
                   nodes_[1].key, "--with", nodes_[2].key, "--ledger", ledger_of(0), "--keeper",
                   (nodes_[0].state / "node.key").string()});
    for (std::size_t i = 1; i < all_keepers; ++i) {
      const json joined = join(i, {});
      EXPECT_EQ(joined["ledger"], begun["ledger"]);
    }
  }
  json join(std::size_t i, const std::vector<std::string>& more) {
    std::vector<std::string> words{
        "ledger",     "join",  ledger_of(i == 0 ? 1 : 0) + "/first",   "--ledger",
        ledger_of(i), "--key", (nodes_[i].state / "node.key").string()};
    words.insert(words.end(), more.begin(), more.end());
    return ovir_json(words);
  }
  [[nodiscard]] std::string ledger_of(std::size_t i) const {
    return (nodes_[i].state / "ledger").string();
  }
  void start(std::size_t i) {
    child_options how = options_;
    how.deadline = std::chrono::hours{6};
    how.dies_with_thread = true;
    nodes_[i].process = std::make_unique<child_process>(
        std::vector<std::string>{ovir_program(), "node", "-c", nodes_[i].config}, how);
  }
  void start_all() {
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
      start(i);
    }
    for (const machine& m : nodes_) {
      wait_until_ready(m.http);
    }
  }
  void kill(std::size_t i) {
    nodes_[i].process->send_signal(SIGKILL);
    (void)nodes_[i].process->wait();
    nodes_[i].process.reset();
  }
  [[nodiscard]] std::unique_ptr<cluster_shell> shell(std::size_t i) const {
    return std::make_unique<cluster_shell>(
        cluster_shell::options{(folder_.path() / "operator" / "admin.key").string(),
                               {nodes_[i].shells},
                               std::chrono::milliseconds{10'000}});
  }
  /// Null where it does not answer.
  [[nodiscard]] json ask(std::size_t i, const std::string& line) const {
    const auto said = shell(i)->call(line);
    const json* const data = std::get_if<json>(&said);
    return data == nullptr ? json(nullptr) : *data;
  }
  template <class Holds>
  [[nodiscard]] bool until(const Holds& holds) const {
    for (const auto end = steady::now() + patience; steady::now() < end;) {
      if (holds()) {
        return true;
      }
      std::this_thread::yield();
    }
    return false;
  }
  /// The keeper that leads, as it says itself; none while there is none.
  [[nodiscard]] std::size_t leader() const {
    for (std::size_t i = 0; i < all_keepers; ++i) {
      const json seen = nodes_[i].process ? ask(i, "ledger keepers") : json(nullptr);
      if (seen.is_object() && seen.value("leads", false)) {
        return i;
      }
    }
    return all_keepers;
  }
  [[nodiscard]] std::size_t wait_for_leader() const {
    std::size_t found = all_keepers;
    EXPECT_TRUE(until([&] { return (found = leader()) < all_keepers; })) << last_words();
    return found;
  }
  /// Each keeper takes part, and has so much of the log.
  [[nodiscard]] bool all_have(std::uint64_t entries) const {
    for (std::size_t i = 0; i < all_keepers; ++i) {
      const json seen = ask(i, "ledger keepers");
      if (!seen.is_object() || seen["recovering"] == true || seen["leader"].is_null() ||
          seen["signed"] < entries) {
        return false;
      }
    }
    return true;
  }
  [[nodiscard]] std::uint64_t entries_of(std::size_t i) const {
    const json seen = ask(i, "ledger keepers");
    return seen.is_object() ? seen["entries"].get<std::uint64_t>() : 0;
  }
  [[nodiscard]] bool all_equal() const {
    const std::uint64_t one = entries_of(0);
    return one > 0 && entries_of(1) == one && entries_of(2) == one && all_have(one);
  }
  [[nodiscard]] std::string complete(std::uint32_t which) const {
    const json body{
        {"model", "embedded"}, {"prompt", fmt::format("Once there were {} foxes", which)},
        {"max_tokens", 12},    {"temperature", 0},
        {"speculate", false},  {"deadline_ms", 60'000}};
    const http_answer answer = http_ask(nodes_[door].http, "POST", "/v1/completions", body.dump());
    return answer.status == 200 ? json::parse(answer.body)["choices"][0]["text"].dump()
                                : fmt::format("status {}: {}", answer.status, answer.body);
  }
  [[nodiscard]] std::vector<std::vector<std::byte>> log_of(std::size_t i) const {
    const auto file = storage::open_durable_file_to_read(ledger_of(i) + "/log");
    EXPECT_TRUE(file);
    std::vector<std::vector<std::byte>> entries;
    ledger::log_report report;
    const auto read = ledger::entry_log::read(
        **file,
        [&](std::uint64_t, std::span<const std::byte> bytes) -> result<void> {
          entries.emplace_back(bytes.begin(), bytes.end());
          return {};
        },
        report);
    EXPECT_TRUE(read) << read.error().message;
    return entries;
  }
  [[nodiscard]] std::string last_words() const {
    std::string all;
    for (const machine& m : nodes_) {
      const std::string text = read_file(m.state / "node.log");
      all += m.state.filename().string() + ":\n" +
             text.substr(text.size() - std::min<std::size_t>(text.size(), 2'000));
    }
    return all;
  }

  temporary_folder folder_;
  child_options options_;
  std::vector<machine> nodes_;
};

/// What a node was promised, and when it asked for that and had it.
struct promised_transfer {
  std::uint64_t amount{0};
  std::uint64_t entry{0};
  steady::time_point asked;
  steady::time_point had;
};

/// One transfer behind the other, on a thread of its own.
class transfers {
public:
  transfers(std::unique_ptr<cluster_shell> shell, std::string to)
      : shell_(std::move(shell)), to_(std::move(to)), thread_([this] { run(); }) {}
  ~transfers() { stop(); }
  transfers(const transfers&) = delete;
  transfers& operator=(const transfers&) = delete;

  void stop() {
    ends_.store(true);
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  [[nodiscard]] std::vector<promised_transfer> promised() const {
    const std::lock_guard lock{guard_};
    return promised_;
  }
  /// When the first that was asked for behind `since` was promised; none yet.
  [[nodiscard]] std::optional<steady::time_point> had_behind(steady::time_point since) const {
    const std::lock_guard lock{guard_};
    for (const promised_transfer& one : promised_) {
      if (one.asked > since) {
        return one.had;
      }
    }
    return std::nullopt;
  }
  [[nodiscard]] std::string refused() const {
    const std::lock_guard lock{guard_};
    return refused_;
  }

private:
  void run() {
    for (std::uint64_t amount = 1'000; !ends_.load(); ++amount) {
      const auto asked = steady::now();
      const auto said = shell_->call(fmt::format("ledger transfer {} {}", to_, amount));
      const std::lock_guard lock{guard_};
      if (const json* const data = std::get_if<json>(&said)) {
        promised_.push_back({amount, data->at("entry"), asked, steady::now()});
      } else {
        refused_ += failure_text(said) + "\n";
      }
    }
  }

  std::unique_ptr<cluster_shell> shell_;
  std::string to_;
  mutable std::mutex guard_;
  std::vector<promised_transfer> promised_;
  std::string refused_;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

/// Requests of a few prompts, whose texts are known.
class requests {
public:
  requests(std::function<std::string(std::uint32_t)> ask,
           std::map<std::uint32_t, std::string> right)
      : ask_(std::move(ask)), right_(std::move(right)), thread_([this] { run(); }) {}
  ~requests() { stop(); }
  requests(const requests&) = delete;
  requests& operator=(const requests&) = delete;

  void stop() {
    ends_.store(true);
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  /// After `stop`.
  [[nodiscard]] std::size_t count() const { return count_; }
  [[nodiscard]] const std::string& wrong() const { return wrong_; }

private:
  void run() {
    for (std::uint32_t i = 0; !ends_.load(); ++i) {
      const auto which = static_cast<std::uint32_t>(i % right_.size());
      const std::string text = ask_(which);
      ++count_;
      if (text != right_.at(which)) {
        wrong_ += fmt::format("request {}: {} instead of {}\n", i, text, right_.at(which));
      }
    }
  }

  std::function<std::string(std::uint32_t)> ask_;
  std::map<std::uint32_t, std::string> right_;
  std::size_t count_{0};
  std::string wrong_;
  std::atomic<bool> ends_{false};
  std::thread thread_;
};

TEST_F(keepers_of_a_ledger, whom_init_writes_enter_what_was_computed) {
  ASSERT_NO_FATAL_FAILURE(make(false));
  start_all();
  const std::size_t first = wait_for_leader();
  ASSERT_LT(first, all_keepers);
  const std::string text = complete(1);
  ASSERT_FALSE(text.starts_with("status")) << text << last_words();
  // Reserved, accrued and settled by all keepers.
  ASSERT_TRUE(until([&] { return entries_of(first) >= 3 && all_equal(); })) << last_words();
  const json seen = ask(door, "ledger keepers");
  EXPECT_EQ(seen["keepers"].size(), all_keepers) << "as one who uses the ledger knows them";
  // A keeper begins again, and another one leads.
  kill(first);
  start(first);
  ASSERT_TRUE(until([&] { return all_have(3); })) << last_words();
  const std::size_t next = wait_for_leader();
  EXPECT_EQ(complete(1), text) << last_words();
  ASSERT_TRUE(until([&] { return entries_of(next) >= 6 && all_equal(); })) << last_words();
  const metrics_page page = read_metrics(nodes_[next].metrics);
  EXPECT_EQ(page.at("ovir_ledger_leads"), 1);
  EXPECT_GE(page.at("ovir_ledger_term"), 2);
  EXPECT_GE(page.at("ovir_ledger_agreed_orders"), 2);
  EXPECT_GE(page.at("ovir_ledger_signed_entries"), 6);
  EXPECT_EQ(page.has("ovir_ledger_hand_overs_total"), true);
}

/// A member that keeps nothing, and says what keepers say.
class false_keeper {
public:
  false_keeper(const std::string& address, std::uint8_t key) : control_(address), data_(address) {
    for (const auto& [link, channel] : {std::pair{&control_, 1}, std::pair{&data_, 2}}) {
      hostile_tls tls;
      tls.key = key;
      EXPECT_TRUE(link->handshake(tls));
      hostile_hello hello;
      hello.channel = static_cast<std::uint16_t>(channel);
      hello.cluster = "local";
      EXPECT_EQ(link->introduce(hello), "");
    }
  }
  bool say(std::span<const std::byte> bytes) {
    return control_.message(keepers_kind, static_cast<std::uint32_t>(bytes.size()), bytes);
  }
  /// A header that claims more than a word may have.
  bool claim_too_much() {
    return control_.message(keepers_kind, limits::keepers_word_bytes_max + 1, {}) &&
           control_.waits_for_close();
  }

private:
  static constexpr std::uint16_t keepers_kind = 10;
  hostile_peer control_;
  hostile_peer data_;
};

std::vector<std::byte> word_of(std::uint8_t kind, std::span<const std::byte> rest) {
  std::vector<std::byte> word{std::byte{kind}};
  word.insert(word.end(), rest.begin(), rest.end());
  return word;
}

TEST_F(keepers_of_a_ledger, hear_no_word_of_a_member_that_keeps_nothing) {
  constexpr std::uint8_t attacker = 0x61;
  ASSERT_NO_FATAL_FAILURE(make(false));
  for (std::size_t i = 0; i < all_keepers; ++i) {
    write_file(nodes_[i].config,
               read_file(nodes_[i].config) +
                   fmt::format("\n[[access]]\nkey = \"{}\"\nroles = [\"worker\"]\n",
                               to_hex(key_of(attacker).id())));
  }
  start_all();
  const std::size_t leads = wait_for_leader();
  ASSERT_LT(leads, all_keepers);
  constexpr std::uint64_t far = 1'000'000;
  std::mt19937_64 chance{7};
  for (std::size_t i = 0; i < all_keepers; ++i) {
    false_keeper liar{nodes_[i].listen, attacker};
    const std::vector<raft::letter> letters{raft::append_entries{far, 0, 0, 0, {}},
                                            raft::vote_request{far, far, far, false},
                                            raft::vote_request{far, far, far, true},
                                            raft::vote_answer{far, true, false},
                                            raft::install_snapshot{far, {far, far, {std::byte{1}}}},
                                            raft::ask_standing{1},
                                            raft::standing{1, far, far, far}};
    for (const raft::letter& one : letters) {
      EXPECT_TRUE(liar.say(word_of(1, raft::to_bytes(one))));
    }
    std::vector<std::byte> noise(limits::keepers_word_bytes_max); // a flood: 48 MiB
    for (std::uint8_t kind = 0; kind < 24; ++kind) {
      for (std::size_t at = 0; at < noise.size(); at += 97) {
        noise[at] = static_cast<std::byte>(chance());
      }
      noise[0] = std::byte{static_cast<std::uint8_t>(kind % 7)};
      EXPECT_TRUE(liar.say(noise));
    }
    EXPECT_TRUE(liar.claim_too_much());
  }
  const std::uint64_t before = entries_of(leads);
  ASSERT_FALSE(complete(2).starts_with("status")) << last_words();
  ASSERT_TRUE(until([&] { return entries_of(leads) >= before + 3 && all_equal(); }))
      << last_words();
  const json seen = ask(leads, "ledger keepers");
  EXPECT_LT(seen["term"], far);
  EXPECT_NE(read_file(nodes_[leads].state / "node.log").find("is none of this ledger's keepers"),
            std::string::npos);
}

class killed_keepers : public keepers_of_a_ledger {
protected:
  /// A cluster that pays, and what its nodes need for that.
  void start_paid() {
    ASSERT_NO_FATAL_FAILURE(make(true));
    start_all();
    ASSERT_LT(wait_for_leader(), all_keepers);
    const auto bank = shell(payer);
    for (const machine& m : nodes_) {
      const bool spends = &m == &nodes_[door] || &m == &nodes_[payer]; // as long as it lasts
      const std::uint64_t amount = (spends ? 1'000'000 : 500) * one_credit;
      ASSERT_TRUE(until([&] {
        const auto said = bank->call(fmt::format("ledger mint {} {}", m.key, amount));
        return std::holds_alternative<json>(said);
      })) << last_words();
    }
    for (const machine& m : nodes_) {
      ASSERT_TRUE(until([&] {
        const json has = ask(payer, "ledger balance " + m.key);
        return has.is_object() && has["stake"] >= stake;
      })) << last_words();
    }
    for (std::uint32_t which = 0; which < 5; ++which) {
      ASSERT_TRUE(until([&] { return !(right_[which] = complete(which)).starts_with("status"); }))
          << right_[which] << last_words();
    }
  }
  /// The one that leads more often than others. It is started again, and comes as far as all are.
  void kill_one(const transfers& paying) {
    const std::size_t leads = wait_for_leader();
    const bool any = chance_() % 10 >= 7;
    const std::size_t victim = any ? static_cast<std::size_t>(chance_() % all_keepers) : leads;
    const auto before = steady::now();
    kill(victim);
    ASSERT_TRUE(until([&] { return paying.had_behind(before).has_value(); }))
        << "keeper " << victim << "\n"
        << paying.refused().substr(0, 500) << last_words();
    if (victim == leads) {
      hand_overs_.push_back(
          std::chrono::duration<double>(*paying.had_behind(before) - before).count());
    }
    come_back(victim, paying);
  }
  void lose_a_disk(const transfers& paying) {
    const std::size_t lost = (wait_for_leader() + 1) % all_keepers;
    kill(lost);
    std::filesystem::remove_all(nodes_[lost].state / "ledger");
    (void)join(lost, {"--replace"});
    come_back(lost, paying);
  }
  void come_back(std::size_t keeper, const transfers& paying) {
    start(keeper);
    const std::uint64_t so_far = paying.promised().back().entry;
    ASSERT_TRUE(until([&] { return all_have(so_far + 1); })) << "keeper " << keeper << "\n"
                                                             << last_words();
  }
  /// The same in all, with each promised transfer once and where it was promised.
  void check_logs(const std::vector<promised_transfer>& promised) const {
    const auto log = log_of(0);
    for (std::size_t i = 1; i < all_keepers; ++i) {
      const auto other = log_of(i); // what time makes due may have come to one of them
      const std::size_t both = std::min(log.size(), other.size());
      EXPECT_LE(std::max(log.size(), other.size()) - both, 2U);
      EXPECT_TRUE(
          std::equal(log.begin(), log.begin() + static_cast<std::ptrdiff_t>(both), other.begin()));
    }
    std::map<std::uint64_t, std::vector<std::uint64_t>> entered; // by amount
    for (std::uint64_t i = 0; i < log.size(); ++i) {
      const auto e = ledger::decode_entry(log[i]);
      ASSERT_TRUE(e) << e.error().message;
      if (const auto* const t = std::get_if<ledger::transfer>(&e->what)) {
        entered[t->amount].push_back(i);
      }
    }
    for (const promised_transfer& one : promised) {
      EXPECT_EQ(entered[one.amount], std::vector<std::uint64_t>{one.entry}) << one.amount;
    }
  }

  std::mt19937_64 chance_;
  std::map<std::uint32_t, std::string> right_; ///< texts of requests
  std::vector<double> hand_overs_;             ///< seconds
};

std::uint64_t number_from(const char* name, std::uint64_t otherwise) {
  const char* const given = std::getenv(name);
  return given == nullptr ? otherwise : std::strtoull(given, nullptr, 10);
}

// OVIR_KEEPERS_KILLS: how many, such as 300.
TEST_F(killed_keepers, lose_and_double_no_promise_and_stop_no_request) {
  const std::uint64_t kills = number_from("OVIR_KEEPERS_KILLS", 6);
  const std::uint64_t seed = number_from("OVIR_KEEPERS_SEED", 43);
  fmt::print("seed {}, {} kills\n", seed, kills);
  chance_.seed(seed);
  ASSERT_NO_FATAL_FAILURE(start_paid());
  transfers paying{shell(payer), nodes_[door].key};
  requests asking{[this](std::uint32_t which) { return complete(which); }, right_};
  for (std::uint64_t k = 0; k < kills; ++k) {
    ASSERT_NO_FATAL_FAILURE(kill_one(paying)) << "kill " << k;
  }
  ASSERT_NO_FATAL_FAILURE(lose_a_disk(paying));
  paying.stop();
  asking.stop();
  EXPECT_EQ(paying.refused(), "") << last_words();
  EXPECT_EQ(asking.wrong(), "") << last_words();
  EXPECT_GT(asking.count(), 0U);
  ASSERT_TRUE(until([&] { return all_equal(); })) << last_words();
  for (std::size_t i = 0; i < all_keepers; ++i) {
    kill(i);
  }
  const auto promised = paying.promised();
  EXPECT_GT(promised.size(), kills);
  ASSERT_NO_FATAL_FAILURE(check_logs(promised));
  std::ranges::sort(hand_overs_);
  fmt::print("{} transfers promised, {} requests answered, {} leaders killed; hand-over: median "
             "{:.2f} s, most {:.2f} s\n",
             promised.size(), asking.count(), hand_overs_.size(),
             hand_overs_.empty() ? 0.0 : hand_overs_[hand_overs_.size() / 2],
             hand_overs_.empty() ? 0.0 : hand_overs_.back());
}

} // namespace
} // namespace ovir::test
