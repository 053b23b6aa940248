#pragma once

#include "actors/payment/window_weights.hpp"
#include "ledger/keeper/message.hpp"
#include "ledger/rules/command.hpp"
#include "ledger/rules/policy.hpp"
#include "ledger/rules/tariff.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/request/path.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Who computes which layers of a request now, in order.
using computing_path = layer_places;

/// What a request that was reserved for is paid, window by window, by what its stages signed: says
/// which command the ledger's keeper gets next. A window is paid when every stage of the path has
/// stated it, to those who did, and a part to who served units that they reused; the last one, and
/// the refund of the rest, when the request is over. A stage that took another's place is named
/// first, by a `ledger::reroute`. A pure core: knows no ledger but what it is told of it.
class payment_core {
public:
  /// `operator_of`: whose node it is; empty: each is its own operator.
  payment_core(evidence_terms terms, ledger::reserve reservation, ledger::policy rules,
               reward_terms rewards = {},
               std::function<std::string(const node_id&)> operator_of = {});
  /// The rules, where the ledger was not known yet.
  void use(const ledger::policy& rules) { rules_ = rules; }

  /// It is signed again, under another nonce or for another path: the first escrow was never there.
  void reserve_anew(ledger::reserve reservation);

  /// Statements of a stage of `path`; what is not signed by it pays nobody. `unix_now`: when they
  /// came, in seconds: a statement behind its commitment's deadline is late, whatever it says, and
  /// so is a window in which the stages around saw a step take too long.
  void take(const computing_path& path, evidence_batch&& batch, std::uint64_t unix_now);
  /// The request ended. It is paid for as far as its stages stated it, with the token drawn behind
  /// the last position: no node's word on the length of the answer counts
  /// (docs/adr/0043-best-replies.md).
  void end() { ended_ = true; }
  /// Stages claim it: what counts is how many tokens are accounted, not in how many accruals. A
  /// window that its scheduler accrued in part is paid for the rest.
  void claim() { claimed_ = true; }
  /// So many of its positions, from the first on, are paid by other reservations, as where another
  /// scheduler drove it before. Work is paid once: for having kept it, stages get what the ledger
  /// gives for work from a cache, and the rest goes back to the payer.
  void paid_before(std::uint64_t positions) { paid_before_ = positions; }
  /// Positions that this reservation and those before it paid for.
  [[nodiscard]] std::uint64_t paid_positions() const noexcept;
  /// The keeper names these no payees of this request: the others of a window divide it.
  void leave_out(const std::vector<ledger::path_stage>& stages);
  /// How far the keeper's account of it is.
  void follow(const ledger::request_report& report);

  /// What to send now; the same again until `applied` or `follow`. Nothing: wait, or it is over. A
  /// command lacks its scheduler, its nonce, where it has one, and a signature.
  [[nodiscard]] std::optional<ledger::command> next(const std::set<node_id>& ejected) const;
  /// The keeper promised what `next` gave.
  void applied(const ledger::command& done);

  /// Settled, or closed by time.
  [[nodiscard]] bool over() const noexcept { return over_; }
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  [[nodiscard]] const ledger::escrow_id& escrow() const noexcept { return escrow_; }
  [[nodiscard]] std::uint32_t windows() const noexcept { return windows_; }
  /// Windows, of positions, that every stage stated.
  [[nodiscard]] std::uint32_t stated() const noexcept { return stated_; }

private:
  /// `behind_deadline`: the scheduler alone says so; it costs reputation. `shown_late`: the stages
  /// around show it; it is unpaid as well (docs/adr/0025-lateness.md).
  enum class timeliness : std::uint8_t { on_time, behind_deadline, shown_late };
  struct stage {
    stage_records records;
    std::uint32_t verified{0};    ///< statements whose signatures hold
    std::vector<timeliness> when; ///< of each statement
    std::vector<digest> values;   ///< of each that was verified: what is signed, with the signature
  };
  struct worker {
    std::uint64_t weight{0};
    std::uint32_t units{0};
    std::uint32_t on_time{0};
    std::uint32_t late{0}; ///< shown by the stages around
    digest statement;      ///< the last one it is paid for, which binds those before it
  };
  using cohort = std::map<node_id, worker>;
  /// Units that stages took from others instead of computing them.
  struct server {
    std::uint64_t units{0};
    digest what; ///< of the citations
  };
  using servers = std::map<node_id, server>;
  struct payable {
    cohort computed;
    servers served;
    std::uint64_t end{0}; ///< positions
  };

  [[nodiscard]] static ledger::window_share share(const node_id& node, const worker& w) {
    return {node, w.weight, 0, w.units, w.on_time, 0, w.statement};
  }
  /// Serving is no work done: it makes no history.
  [[nodiscard]] static ledger::window_share share(const node_id& node, const server& s) {
    return {node, s.units, 0, 0, 0, 0, s.what};
  }
  /// What each gets of `amount`, by weight; nothing where that cannot be.
  template <class Payees>
  [[nodiscard]] static std::optional<std::vector<ledger::window_share>>
  shares(const Payees& who, ledger::micro_credits amount);
  [[nodiscard]] std::uint64_t share_of(const servers& from, std::uint64_t windows) const;
  static void add_kept(servers& from, const cohort& who, std::uint64_t positions);
  void verify(stage& s) const;
  void note_late(const std::vector<stage*>& path) const;
  void count_stated(const computing_path& path);
  [[nodiscard]] std::vector<std::uint64_t> weigh(const std::vector<stage*>& path);
  static void add_worker(cohort& all, const stage& s, std::uint32_t window, std::uint64_t weight);
  static void add_servers(servers& all, const stage& s, std::uint32_t window);
  [[nodiscard]] servers served_to(std::uint64_t window) const;
  [[nodiscard]] std::uint64_t first_unpaid(std::uint64_t window) const;
  void note_times(std::vector<ledger::window_share>& of, std::uint64_t window) const;
  [[nodiscard]] std::optional<ledger::command> naming(const cohort& who, const servers& from) const;
  [[nodiscard]] std::optional<ledger::command> accrual(std::uint64_t window, std::uint64_t frontier,
                                                       const std::set<node_id>& ejected) const;

  evidence_terms terms_;
  ledger::reserve reservation_;
  ledger::policy rules_;
  reward_terms rewards_;
  std::function<std::string(const node_id&)> operator_of_;
  ledger::escrow_id escrow_;
  std::map<layer_index, stage> stages_; ///< by their first layer
  seen_times seen_;                     ///< of the last window in which there are any
  /// Of each window that all stated: who did, and the positions below its end.
  std::vector<payable> payable_;
  std::uint32_t stated_{0};
  // As the keeper has it.
  std::uint32_t windows_{0};
  std::uint64_t accounted_{0};
  bool prompt_accounted_{false};
  bool over_{false};
  std::uint64_t paid_before_{0}; ///< positions, by others
  bool ended_{false};
  bool claimed_{false};
  std::set<node_id> named_;    ///< who may be paid
  std::set<node_id> left_out_; ///< who may not
};

} // namespace ovir::actors
