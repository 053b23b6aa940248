#pragma once

#include "tests/swarm/economy/market.hpp"
#include "tests/swarm/swarm.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ovir::swarm {

struct market_plan {
  std::uint64_t seed{1};
  market_play plays{market_play::honest};
  bool seldom{false};
  bool keeper_alone{false}; ///< as `market_terms`
  std::size_t requests{240};
};

/// What one host, or several of one operator, got and gave, by the keeper's log: micro-credits.
struct market_account {
  std::int64_t paid{0};       ///< for windows, and in the place of such that others spoiled
  std::int64_t fees{0};       ///< for audits
  std::int64_t found{0};      ///< as finder of what is wrong
  std::int64_t taken_back{0}; ///< of pay that was pending
  std::int64_t slashed{0};    ///< of its stake
  std::int64_t stake_left{0}; ///< at the end
  std::int64_t charged{0};    ///< by a scheduler: what its clients' tokens cost them
  std::int64_t spent{0};      ///< by a scheduler, on requests
  std::int64_t cost{0};       ///< of computing
  std::uint64_t windows{0};   ///< paid for
  std::uint64_t late{0};      ///< of these, with late work that is unpaid
  std::uint64_t computed{0};  ///< rows times layers
  std::uint64_t made_up{0};   ///< likewise
  std::uint64_t convicted{0}; ///< keys

  [[nodiscard]] std::int64_t earned() const noexcept {
    return paid + fees + found + charged - taken_back - slashed - spent;
  }
  [[nodiscard]] std::int64_t profit() const noexcept { return earned() - cost; }
  market_account& operator+=(const market_account& other);
};

struct market_report {
  std::vector<market_account> hosts; ///< by number
  std::size_t answered{0};
  std::size_t failed{0};
  std::vector<std::string> failures; ///< some
  outcome rest;                      ///< of the swarm
  std::vector<std::string> violations;
  [[nodiscard]] market_account sum(const std::set<std::size_t>& of) const;
  /// Of the operator whose play is compared. What its verifier computes as one is left out: that is
  /// the same, whatever it says of it.
  [[nodiscard]] market_account operators(market_play p) const;
};

/// A request of the market, and its HTTP client.
class market_request;

/// Clients ask a swarm in which nothing breaks, and the operator of one seat plays for money. All
/// else is what nodes do: plans, statements, draws, audits, convictions, payment, claims.
class market_trial {
public:
  /// `says`: lines of the nodes' logs; may be empty.
  market_trial(const market_plan& plan, tiny_model& model,
               std::function<void(nanoseconds, const std::string&)> says);
  ~market_trial();
  market_trial(const market_trial&) = delete;
  market_trial& operator=(const market_trial&) = delete;

  market_report run();

private:
  void play();
  void ask();
  void stand_still();
  void watch_key(std::size_t current);
  [[nodiscard]] bool makes_up(std::size_t who, std::uint64_t session, std::uint32_t window);
  [[nodiscard]] bool cheats_now();
  void count(const market_request& one);
  void read_log();
  void note(const ledger::entry& e, const std::vector<ledger::posting>& moved);
  void note_work();

  market_plan plan_;
  swarm swarm_;
  chance draws_;
  std::set<std::size_t> operator_;        ///< hosts of the seat's operator
  std::map<digest, std::size_t> numbers_; ///< of hosts, by key
  std::map<digest, std::size_t> payers_;  ///< likewise, by escrow
  std::size_t asked_{0};
  std::size_t open_{0};
  market_report report_;
};

/// One play over some seeds, beside honesty in the same seat under the same seeds.
struct market_row {
  market_play plays{market_play::honest};
  std::uint64_t runs{0};
  market_account account;  ///< of its operator: sums of all runs
  market_account honest;   ///< of the same hosts, where they are honest
  market_account auditors; ///< of all honest verifiers
  std::uint64_t failed{0};
  [[nodiscard]] bool beats_honesty() const noexcept { return account.profit() > honest.profit(); }
};
[[nodiscard]] std::string market_head();
/// What each host got and gave.
[[nodiscard]] std::string to_text(const market_report& report);
[[nodiscard]] std::string to_text(const market_row& row);
/// One line of JSON.
[[nodiscard]] std::string to_json(const market_row& row, bool seldom);

} // namespace ovir::swarm
