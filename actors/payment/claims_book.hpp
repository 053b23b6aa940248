#pragma once

#include "ledger/keeper/message.hpp"
#include "ledger/rules/command.hpp"
#include "ledger/rules/policy.hpp"
#include "messages/evidence/evidence.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"
#include "storage/env/env.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace ovir::actors {

/// What a keeper's ledger has of a request that a stage claims to be paid for.
struct claimed_request {
  ledger::reserve reservation;
  ledger::request_report report;
  std::vector<node_id> payees; ///< of it, those that it was rerouted to among them
};

/// Pays stages by what they signed, where who drives their request does not
/// (docs/adr/0028-claims.md). A window is paid once all stages of a path, from the first layer to
/// the last, claim it, all of them in the reservation, each with its signature, that of the stage
/// before over just what came in, and the first one with that of who drives the request; and once
/// that one has accrued nothing for limits::claim_quiet. When nothing is left to pay of a request
/// of which they show a window, it is settled: what is left goes back to who pays. A pure core:
/// times and what the ledger has are handed in.
class claims_book {
public:
  using time_point = storage::env::time_point;
  /// What the ledger has of an open request; nothing of others.
  using look_up = std::function<std::optional<claimed_request>(const ledger::escrow_id&)>;

  struct surroundings {
    look_up find;
    ledger::policy rules;
    const std::set<node_id>* ejected{nullptr};
    /// Whether a node has a link to this one.
    std::function<bool(const node_id&)> is_there;
    time_point now;
    /// Whether the ledger pays for this by another request, at least as much. Empty: for nothing.
    std::function<bool(const ledger::window_share&, const ledger::escrow_id&)> is_paid{};
  };

  /// A part of what `from` signed of this request. An error: it is refused.
  [[nodiscard]] result<void> take(const node_id& from, const ledger::claim& what,
                                  const claimed_request& about, time_point now);
  /// What to enter now, of one request, in this order; what does not come into the ledger is given
  /// again.
  [[nodiscard]] std::vector<ledger::command> due(const surroundings& around);

  /// Whether what is claimed here leads to an accrual or an end that another keeper proposes
  /// (`ledger::keeper_surroundings::claims_say`): `busy` where it does not, or not yet.
  [[nodiscard]] result<void> say(const ledger::command& what, const surroundings& around) const;

  [[nodiscard]] bool empty() const noexcept { return requests_.empty(); }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

private:
  using place = std::pair<layer_index, node_id>;
  struct stage {
    evidence_terms terms;
    stage_records records;
    std::size_t bytes{0};
  };
  struct request {
    std::map<place, stage> stages;
    std::size_t bytes{0};
    std::uint32_t windows{0}; ///< accrued when it was looked at last
    time_point since;         ///< nothing was accrued
    time_point looked;        ///< at what its stages claim, or since when it is claimed
  };
  struct path {
    std::deque<const stage_records*> stages;
    std::uint32_t windows{0}; ///< for which it holds, from the first on
  };

  [[nodiscard]] static path longest(const std::map<place, stage>& stages,
                                    const evidence_terms& terms, const node_id& driver,
                                    std::uint32_t most);
  [[nodiscard]] static std::vector<ledger::command> payments(const path& found,
                                                             const evidence_terms& terms,
                                                             const claimed_request& about,
                                                             const surroundings& around);
  [[nodiscard]] static std::vector<ledger::command>
  due_of(const request& r, const claimed_request& about, const surroundings& around, bool ends);
  [[nodiscard]] static bool ends(const request& r, const claimed_request& about,
                                 const surroundings& around);
  void forget(std::map<ledger::escrow_id, request>::iterator at);

  std::map<ledger::escrow_id, request> requests_; ///< at most limits::claimed_requests_max
  std::size_t bytes_{0};
};

} // namespace ovir::actors
