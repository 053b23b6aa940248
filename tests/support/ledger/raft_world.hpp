#pragma once

#include "ledger/raft/replica.hpp"
#include "tests/support/ledger/raft_disk.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

/// A Raft group under one seed: its servers, their disks, a network and a clock, all of which fail
/// as they are told.
namespace ovir::test {

/// What happens to letters on their way.
struct raft_weather {
  unsigned lost_percent{0};
  unsigned doubled_percent{0};
  unsigned late_ms{5}; ///< at most
};

class raft_world {
public:
  raft_world(std::uint64_t seed, std::uint8_t servers);
  ~raft_world();
  raft_world(const raft_world&) = delete;
  raft_world& operator=(const raft_world&) = delete;

  /// Lets time go by, in steps of 10 ms.
  void run(raft::milliseconds time);
  /// A command that the leader takes, if there is one. It is acknowledged when it is agreed.
  bool propose();
  bool propose_at(std::uint8_t server);

  void start(std::uint8_t server);
  /// As `kill -9` and a loss of power: what was not synced may be gone.
  void stop(std::uint8_t server);
  /// Its disk refuses from the nth call on: the server stops there.
  void fail_disk(std::uint8_t server, std::uint64_t calls);
  /// It stops, and comes back without its journal.
  void lose_disk(std::uint8_t server);
  void cut_link(std::uint8_t a, std::uint8_t b) { cut_.insert(std::minmax(a, b)); }
  void heal_links() { cut_.clear(); }

  [[nodiscard]] std::uint8_t leader() const;
  [[nodiscard]] bool is_up(std::uint8_t server) const;
  [[nodiscard]] raft::replica& replica_of(std::uint8_t server);
  [[nodiscard]] raft_disk& disk_of(std::uint8_t server);
  [[nodiscard]] std::uint8_t count() const noexcept { return servers_; }
  /// Commands that this server was told of.
  [[nodiscard]] std::size_t agreed_at(std::uint8_t server) const;
  [[nodiscard]] std::size_t acknowledged() const noexcept { return acknowledged_; }
  [[nodiscard]] std::size_t snapshots_restored() const noexcept { return restored_; }
  /// What the rules forbid and happened, the first of it; empty when all holds.
  [[nodiscard]] const std::string& broken() const noexcept { return broken_; }
  /// All servers up and linked, until each has the same commands and takes another. False where
  /// that does not come about within a minute.
  [[nodiscard]] bool comes_to_rest();
  /// Sends in a server's name.
  void forge(std::uint8_t from, std::uint8_t to, raft::letter what);

  std::function<bool(const raft::entry&)> refuses; ///< what no owner takes; empty: nothing
  std::mt19937_64 chance;
  raft_weather weather;

private:
  struct command {
    raft::place where;
    std::vector<std::byte> bytes;
    friend bool operator==(const command&, const command&) = default;
  };
  class node;
  struct on_its_way {
    std::uint8_t from{0};
    std::uint8_t to{0};
    std::vector<std::byte> bytes;
  };

  [[nodiscard]] raft::group group_of(std::uint8_t server) const;
  [[nodiscard]] node& at(std::uint8_t server) { return *nodes_[server - 1U]; }
  [[nodiscard]] const node& at(std::uint8_t server) const { return *nodes_[server - 1U]; }
  void post(std::uint8_t from, std::uint8_t to, const raft::letter& what);
  void break_rule(std::string what);
  void deliver_letters();
  void watch(node& n);

  std::uint8_t servers_;
  std::vector<std::unique_ptr<node>> nodes_;
  std::multimap<raft::milliseconds, on_its_way> network_;
  std::set<std::pair<std::uint8_t, std::uint8_t>> cut_;
  raft::milliseconds now_{0};
  std::vector<command> truth_;                    ///< what any server was told, in order
  std::map<std::uint64_t, std::uint8_t> leaders_; ///< by term
  std::uint64_t next_command_{0};
  std::size_t acknowledged_{0};
  std::size_t restored_{0};
  std::string broken_;
};

} // namespace ovir::test
