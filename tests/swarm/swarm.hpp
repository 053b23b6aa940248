#pragma once

#include "ledger/log/head.hpp"
#include "tests/swarm/client.hpp"
#include "tests/swarm/epoch_rules.hpp"
#include "tests/swarm/host.hpp"
#include "tests/swarm/hostile_member.hpp"
#include "tests/swarm/liars/escape_tally.hpp"
#include "tests/swarm/operator_shell.hpp"
#include "tests/swarm/plan.hpp"
#include "tests/swarm/protocol_monitor.hpp"
#include "tests/swarm/rest.hpp"
#include "tests/swarm/tiny_model.hpp"
#include "tests/swarm/trouble.hpp"

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::swarm {

/// What came of a run.
struct outcome {
  std::vector<std::string> violations; ///< of the properties; empty: all hold
  std::uint64_t trace{0};              ///< digest of all events
  std::uint64_t events{0};
  std::uint64_t turns{0};    ///< of actors
  std::uint64_t messages{0}; ///< between machines
  std::uint64_t bytes{0};
  nanoseconds virtual_time{0};
  std::size_t answered{0};
  std::size_t cancelled{0};
  std::size_t attempts{0};        ///< of all clients
  std::size_t lives{0};           ///< of all nodes
  std::uint64_t entries{0};       ///< of the ledger
  std::vector<std::string> found; ///< of a calm run: what was kept
  liar_fate liar;                 ///< with `escapes`
};

/// In which a request ends once nothing goes wrong any more.
inline constexpr nanoseconds request_bound = std::chrono::seconds{120};
/// A worker that is no verifier.
inline constexpr std::size_t liar_number = 3;

/// What lies on all disks.
struct bytes_kept {
  std::uint64_t store{0};
  std::uint64_t store_entries{0};
  std::uint64_t ledger{0};
  std::uint64_t requests{0}; ///< logs of running ones
  std::uint64_t other{0};
  // Ever written, to any of them.
  std::uint64_t store_written{0};
  std::uint64_t ledger_written{0};
  std::uint64_t requests_written{0};
};

/// N nodes, their clients and what goes wrong, under one seed.
class swarm {
public:
  struct options {
    bool keep_history{false};
    plant planted{plant::none}; ///< then the witness alone judges
    /// Lines of the nodes' logs and of what is done to them.
    std::function<void(nanoseconds, const std::string&)> says;
  };

  swarm(const plan& all, tiny_model& model, options how);
  ~swarm();
  swarm(const swarm&) = delete;
  swarm& operator=(const swarm&) = delete;

  [[nodiscard]] outcome run();
  [[nodiscard]] const history& told() const noexcept { return history_; }

  // Instead of `run`, for clients of another kind.
  void begin();
  /// Goes on until `condition` or the world's time is `until`. Whether it was the condition.
  bool go(const std::function<bool()>& condition, nanoseconds until);
  /// Begins a life of this host, unless it is up.
  void start(std::size_t who);
  [[nodiscard]] std::size_t keeper() const noexcept { return plan_.how.nodes - 1; }
  /// Nothing is asked any more: what must hold then, and the end of all nodes.
  [[nodiscard]] outcome end();
  [[nodiscard]] world& in() noexcept { return world_; }
  [[nodiscard]] http_doors& doors() noexcept { return doors_; }
  [[nodiscard]] operator_shell& shell() noexcept { return *shell_; }
  [[nodiscard]] const std::vector<std::string>& gateways() const noexcept { return gateways_; }
  [[nodiscard]] const std::vector<std::unique_ptr<host>>& hosts() const noexcept { return hosts_; }
  [[nodiscard]] wires& at() noexcept { return wires_; }
  [[nodiscard]] const std::vector<std::shared_ptr<client>>& clients() const noexcept {
    return clients_;
  }
  /// So far; for those that do not ask for the end.
  [[nodiscard]] const std::vector<std::string>& violations() const noexcept {
    return out_.violations;
  }

private:
  void add_host(std::size_t number, const std::array<std::byte, 32>& key_seed,
                const std::vector<node_id>& ids, const secret_key& operator_key);
  void add_hostile(chance& keys);
  void add_strangers(chance& keys);
  void listen();
  void plan_all();
  bool step(nanoseconds until);
  void meet_cancel(std::size_t gateway);
  void look_after(host& h);
  void violate(std::string what);
  void say(const std::string& what);
  void hear_log(std::size_t who, std::string_view line);

  void fund(std::size_t who);
  [[nodiscard]] std::size_t paid_for() const;

  void check_answers();
  [[nodiscard]] std::shared_ptr<told_state> ask_everybody();
  void check_rest();
  void check_takeover();
  void check_apart();
  void check_fork();
  void check_ledger();
  void check_grown();
  [[nodiscard]] std::optional<ledger::signed_head> ask_head();
  void check_disk(host& h);
  void check_restart(const ledger::signed_head& before);
  void check_again();
  void await_conviction();
  // With `escapes` (tests/swarm/liars/escape_checks.cpp).
  void begin_lies();
  void check_lies();
  void read_lies();
  void ask_convicted();
  [[nodiscard]] bool is_believed(std::size_t who) const;
  [[nodiscard]] bool loses_audits(const fault& f) const;
  [[nodiscard]] bool lies(std::size_t who) const;
  [[nodiscard]] role_set hostile_roles() const;

  plan plan_;
  tiny_model& model_;
  options how_;
  history history_;
  world world_;
  wires wires_;
  http_doors doors_;
  std::vector<std::unique_ptr<host>> hosts_;
  std::unique_ptr<operator_shell> shell_;
  std::unique_ptr<hostile_member> hostile_; ///< null: there is none
  std::vector<std::unique_ptr<hostile_member>> strangers_;
  std::size_t next_stranger_{0};              ///< that overhears
  std::vector<ledger::signed_head> promised_; ///< heads that the keeper signed for the operator
  std::vector<std::string> gateways_;         ///< addresses of HTTP endpoints
  std::vector<std::shared_ptr<client>> clients_;
  std::vector<std::size_t> ready_;
  std::vector<bool> is_ready_;
  trouble trouble_;
  protocol_monitor monitor_{[this](std::string what) { violate(std::move(what)); }, keeper()};
  epoch_rules epochs_{[this](std::string what) { violate(std::move(what)); },
                      [this](std::size_t machine) { return hosts_[machine]->id(); }};
  std::set<request_id> finished_; ///< a node said so, where logs are read
  nanoseconds quiet_until_{0};    ///< no cancellation is met by a fault before
  bytes_kept bytes_;
  std::map<std::size_t, std::set<node_id>> convicted_; ///< as honest nodes say
  outcome out_;
};

} // namespace ovir::swarm
