#pragma once

#include "ledger/audit/epoch_draw.hpp"

#include <deque>
#include <map>
#include <optional>
#include <vector>

/// What a log says about a node's own audits: what it has to look at, what became of its requests,
/// and which links it owes.
namespace ovir::ledger {

/// A unit that was drawn. Receipts say what a request is about, not its escrow.
struct audit_duty {
  digest about;
  audit_unit unit;
  std::vector<node_id> verifiers;
  node_id driver; ///< who drives its request, by the log
};
/// Somebody looked at it.
struct audit_entered {
  digest about;
  escrow_id request;
  std::uint32_t window{0};
  node_id signer;
  node_id verifier;
  node_id driver;
};

/// In the order of the log; of requests that the node drives, or units that it has to audit.
struct audit_news {
  std::vector<audit_duty> duties;
  std::vector<audit_entered> audits;
  // Of requests that the node drives, by what they are about, once for each accrual.
  std::vector<digest> accrued;
  std::vector<digest> drawn;   ///< its epoch had verifiers
  std::vector<digest> undrawn; ///< it had none
  std::vector<digest> settled;
  /// The node's own hash chains, as the log has them now.
  std::vector<audit_chain> chains;
  std::optional<std::uint64_t> owed; ///< the epoch for which its link is missing
  std::uint64_t least_rate_ppm{0};   ///< of units, how many are audited at least

  /// Nothing happened; chains are not looked at.
  [[nodiscard]] bool empty() const noexcept {
    return duties.empty() && audits.empty() && accrued.empty() && drawn.empty() &&
           undrawn.empty() && settled.empty();
  }
};

/// Reads a log from any entry on (`entry_watch`). Of each kind of news at most twice
/// limits::audit_duties_max wait to be taken: the oldest go first. One thread at a time.
class log_watch {
public:
  explicit log_watch(const node_id& self) : self_(self) {}

  void take(std::uint64_t index, const entry& e, const digest& chain, const state& after);
  /// What came since the last call. Nothing where there is no news, and chains and links are as
  /// they were.
  [[nodiscard]] std::optional<audit_news> take_news();

private:
  struct request {
    digest about;
    node_id driver;
  };
  [[nodiscard]] bool is_mine(const request& r) const { return r.driver == self_; }
  void note(const reserve& x);
  void note(const epoch_draw& d);
  [[nodiscard]] const request* find(const escrow_id& escrow) const;
  void note_own(const state& after);

  node_id self_;
  epoch_reader reader_;
  std::map<escrow_id, request> requests_; ///< at most limits::watched_requests_max
  std::deque<escrow_id> order_;
  std::map<std::uint64_t, std::vector<digest>> accrued_; ///< by epoch, until that is drawn
  audit_news news_;
  bool changed_{true}; ///< the chains, what is owed, or the rate
};

} // namespace ovir::ledger
