#pragma once

#include "ledger/group/keeper_group.hpp"
#include "tests/support/ledger/raft_disk.hpp"
#include "tests/support/ledger/raft_world.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

/// Keepers of one ledger and clients that ask them, under one seed.
namespace ovir::test {

class group_world {
public:
  /// The number of a mint key that no client of this world uses.
  static constexpr std::uint8_t other_minter = 230;

  group_world(std::uint64_t seed, std::uint8_t keepers);
  ~group_world();
  group_world(const group_world&) = delete;
  group_world& operator=(const group_world&) = delete;

  /// Lets time go by in steps of 10 ms. Each client asks for one mint at a time, of whichever
  /// keeper leads, until it is promised.
  void run(raft::milliseconds time);
  void start(std::size_t keeper);
  /// As `kill -9` and a loss of power.
  void stop(std::size_t keeper);
  /// It stops, and comes back with the ledger's first entry and nothing else.
  void lose_disk(std::size_t keeper);
  /// The file of its last head is gone. It is down.
  void forget_head(std::size_t keeper);
  /// For the clocks of all keepers.
  void skip_time(std::uint64_t seconds) { skipped_ += seconds; }
  void cut_link(std::size_t a, std::size_t b) { cut_.insert(std::minmax(a, b)); }
  void heal_links() { cut_.clear(); }
  /// All keepers up and linked, until they have the same log and most signed it.
  [[nodiscard]] bool comes_to_rest();

  [[nodiscard]] std::size_t count() const noexcept { return nodes_.size(); }
  [[nodiscard]] bool is_up(std::size_t keeper) const;
  /// Number of keepers: none leads.
  [[nodiscard]] std::size_t leader() const;
  [[nodiscard]] ledger::keeper_group& group_of(std::size_t keeper);
  [[nodiscard]] ledger::keeper& keeper_of(std::size_t keeper);
  [[nodiscard]] const secret_key& key_of(std::size_t keeper) const;
  [[nodiscard]] const digest& ledger() const noexcept { return ledger_; }
  [[nodiscard]] std::size_t promised() const noexcept { return promised_.size(); }
  /// What must not be and is: a promise that does not hold, a command that was entered twice, two
  /// logs. Empty while all is well.
  [[nodiscard]] std::string broken();
  /// Sends in a keeper's name.
  void say(std::size_t from, std::size_t to, std::vector<std::byte> bytes);

  std::mt19937_64 chance;
  raft_weather weather;
  bool asks{true}; ///< clients do

private:
  struct client {
    std::uint8_t number{0};
    std::uint64_t nonce{0};
    std::vector<std::byte> entry; ///< that it asks for
    std::uint64_t question{0};
    raft::milliseconds asked{0};
  };
  class node;
  struct on_its_way {
    std::size_t from{0};
    std::size_t to{0};
    std::vector<std::byte> bytes;
  };

  void break_rule(std::string what);
  void deliver();
  void ask(client& one);
  void take(const std::vector<ledger::keeper_answer>& answers);
  void next(client& one);
  void watch(node& n);

  std::vector<std::unique_ptr<node>> nodes_;
  std::vector<client> clients_;
  digest ledger_;
  std::vector<node_id> keys_;
  std::multimap<raft::milliseconds, on_its_way> network_;
  std::set<std::pair<std::size_t, std::size_t>> cut_;
  raft::milliseconds now_{0};
  std::uint64_t questions_{0};
  std::uint64_t skipped_{0};
  std::map<std::uint64_t, digest> promised_; ///< what is at an index, by its leaf
  std::string broken_;
};

} // namespace ovir::test
