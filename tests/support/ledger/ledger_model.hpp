#pragma once

#include "ledger/rules/command.hpp"

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

/// LEDGER.md read aloud: accounts are names in a map, an operation is a list of moves between them,
/// and anything that would go wrong refuses the whole list. No code of the ledger but the structs
/// of its commands, and no cleverness: what a request or a provider is owed is found by looking at
/// everything.
namespace ovir::test {

class ledger_model {
public:
  __extension__ typedef __int128 credits;

  /// Whether the operation was accepted (a retry of an accepted one counts as such).
  bool apply(const ledger::command& c, std::uint64_t now);

  /// Of "free/KEY", "pending/KEY", "stake/KEY", "escrow/ID", "assurance", "burn", "treasury".
  [[nodiscard]] std::uint64_t balance(const std::string& name) const;
  [[nodiscard]] const std::map<std::string, credits>& balances() const { return balances_; }

private:
  struct part {
    std::string node;
    credits amount;
    std::string computed{}; ///< the statement that it pays for
  };
  struct window {
    std::string request;
    std::uint64_t at;
    credits gross{0};
    credits fee{0};
    credits refund{0};
    credits withheld{0};
    bool compensation{false};
    int phase{0}; ///< 0 pending, 1 released, 2 voided
    std::vector<part> parts;
  };
  struct request {
    std::string payer;
    std::string scheduler; ///< empty: the payer
    credits rate;
    std::uint64_t prompt;
    std::uint64_t completion;
    std::uint64_t accounted{0};
    bool prompt_done{false};
    bool open{true};
    std::uint64_t expires;
    std::vector<std::size_t> windows; ///< places in `windows_`
    std::vector<std::size_t> compensations;
    std::set<std::string> path; ///< who may be paid
    std::uint64_t layers{0};
    credits audit_fees{0};
    bool ended{false};   ///< and open for claims
    std::string voucher; ///< empty: none
    credits cost{0};     ///< what its payer gave and did not get back
  };
  struct budget {
    std::string account;
    credits limit;
    std::uint64_t expires;
    std::set<std::string> schedulers;
    bool revoked{false};
  };
  struct chain {
    std::uint64_t first;
    std::uint64_t links;
    std::uint64_t known;
    digest last;
  };
  struct epoch {
    std::uint64_t number{0};
    std::uint64_t entries{0};
    std::uint64_t accruals{0};
    std::uint64_t first_accrual{0};
    std::uint64_t closed_at{0};
    bool worked{false};
    std::set<std::string> verifiers;
    std::set<std::string> owe; ///< a link of the one before
  };
  struct called_back {
    credits amount;
    std::uint64_t due;
  };

  bool run(const ledger::genesis& x);
  bool run(const ledger::mint& x);
  bool run(const ledger::transfer& x);
  bool run(const ledger::lock& x);
  bool run(const ledger::unlock& x);
  bool run(const ledger::unlocked& x);
  bool run(const ledger::reserve& x);
  bool run(const ledger::accrue& x);
  bool run(const ledger::release& x);
  bool run(const ledger::settle& x);
  bool run(const ledger::cancel& x);
  bool run(const ledger::expire& x);
  bool run(const ledger::convict& x);
  bool run(const ledger::compensate& x);
  bool run(const ledger::reroute& x);
  bool run(const ledger::chain_commit& x);
  bool run(const ledger::chain_link& x);
  bool run(const ledger::epoch_end& x);
  bool run(const ledger::voucher& x);
  bool run(const ledger::revoke& x);
  bool run(const ledger::carriage& x);

  [[nodiscard]] bool may_spend(const ledger::reserve& x, credits quote) const;
  [[nodiscard]] chain* chain_of(const std::string& node, std::uint64_t number);
  void count(const ledger::command& c);
  bool close(const std::string& id);
  void end(const std::string& id);
  void slash(const std::string& guilty, const std::string& finder);
  bool convict_scheduler(const std::string& id, const ledger::convict& x);
  [[nodiscard]] bool may_say(const std::string& id, const node_id& by) const;
  [[nodiscard]] bool is_paid(const ledger::window_share& s, const ledger::accrue& x) const;
  credits take_back(request& q, std::size_t first, const std::string& guilty,
                    std::map<std::string, credits>& owed);
  [[nodiscard]] bool gone(const std::string& id) const;
  [[nodiscard]] credits of(const std::string& name) const;
  void go(const std::string& from, const std::string& to, credits amount);
  credits up_to(const std::string& from, const std::string& to, credits amount);
  [[nodiscard]] std::uint64_t pending_windows(const std::string& node) const;
  [[nodiscard]] credits leaving(const std::string& node) const;
  [[nodiscard]] static std::vector<credits> share_out(credits amount, std::vector<part> by_weight);
  [[nodiscard]] bool may_take_part(const ledger::path_stage& s) const;
  [[nodiscard]] credits firm_stake(const std::string& node) const;
  [[nodiscard]] bool is_known(const std::string& node) const;
  [[nodiscard]] bool may_audit(const std::string& node) const;
  [[nodiscard]] bool shares_are_right(const request& q,
                                      const std::vector<ledger::window_share>& shares,
                                      credits amount) const;

  ledger::genesis rules_;
  std::uint64_t now_{0};
  std::uint64_t last_{0};
  std::map<std::string, credits> balances_;
  std::map<std::string, request> requests_;
  std::vector<window> windows_;
  std::vector<std::vector<std::uint64_t>> units_; ///< on time, per part of each window
  std::map<std::string, std::string> done_;       ///< id to what was done under it
  std::map<std::string, std::uint64_t> nonces_;
  std::map<std::string, std::map<std::uint64_t, called_back>> called_back_;
  std::map<std::string, std::uint64_t> valid_;
  std::map<std::pair<std::string, std::uint64_t>, std::uint64_t> actions_; ///< per minute
  std::set<std::string> ejected_;
  credits minted_{0};
  epoch epoch_;
  std::map<std::string, std::vector<chain>> chains_;
  std::map<std::string, budget> budgets_; ///< by the voucher
};

} // namespace ovir::test
