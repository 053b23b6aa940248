#pragma once

#include "actors/members/membership_actor.hpp"
#include "actors/placement/placer_actor.hpp"
#include "actors/request/jobs_core.hpp"
#include "ledger/rules/command.hpp"
#include "tests/swarm/host.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ovir::swarm {

/// What the nodes of a swarm say of themselves, one after another.
struct told_state {
  template <class T>
  using by_host = std::vector<std::pair<std::size_t, T>>;

  std::size_t asked{0}; ///< actors
  std::size_t told{0};
  std::uint64_t sessions{0};
  std::uint64_t unsettled{0}; ///< requests whose payment is open
  by_host<std::vector<actors::job_view>> jobs;
  by_host<actors::members_view> views;
  by_host<actors::placement_view> placements; ///< of schedulers

  [[nodiscard]] bool complete() const noexcept { return asked > 0 && told == asked; }
  [[nodiscard]] std::size_t running() const;
};

/// Asks every node that is up. What they say is there once they took their turns.
[[nodiscard]] std::shared_ptr<told_state> ask_all(const std::vector<std::unique_ptr<host>>& hosts,
                                                  const std::function<void(host&)>& look_after);

/// What is not over although nothing is asked any more. A worker that `lies` is no member in the
/// end.
[[nodiscard]] std::vector<std::string>
wrong_at_rest(const told_state& seen, const std::vector<std::unique_ptr<host>>& hosts, bool lies);
/// Members that are counted and are not there, and the other way round.
[[nodiscard]] std::vector<std::string> wrong_views(const told_state& seen,
                                                   const std::vector<std::unique_ptr<host>>& hosts);
/// Why the placement of the model is not done: one scheduler places it, so that it is served, and
/// gives no orders.
[[nodiscard]] std::vector<std::string> wrong_placement(const told_state& seen);
/// The job of a scheduler that has the whole answer to this request; null: none has.
[[nodiscard]] const actors::job_view* answered_by(const told_state& seen, request_id request);

/// Reservations of a log that nothing has ended.
class open_escrows {
public:
  void note(const ledger::command& what);
  [[nodiscard]] std::size_t count() const noexcept { return open_.size(); }

private:
  std::set<ledger::escrow_id> open_;
};

} // namespace ovir::swarm
