#pragma once

#include "ledger/rules/command.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>

/// What nodes compute, and what some of them make up instead. The linker puts this in front of all
/// computing of layers, and of what a scheduler pays (tests/CMakeLists.txt).
namespace ovir::swarm {

/// What one host computed, by stages and as an auditor. Rows times layers.
struct work_done {
  std::uint64_t computed{0};
  std::uint64_t made_up{0};
};

/// How hosts cheat. A window that is made up is stated and signed like any other; what comes of
/// other inputs stands for it, and costs its host nothing here.
struct cheating {
  /// Whether this host makes up the window of a session, whose number is any.
  std::function<bool(std::size_t host, std::uint64_t session, std::uint32_t window)> makes_up;
  /// What a scheduler pays instead; `right` is what it should. Of hosts in `schedulers` alone.
  std::function<std::optional<ledger::command>(std::optional<ledger::command> right, bool ended,
                                               const ledger::escrow_id& escrow)>
      pays;
  std::set<std::size_t> schedulers;
  std::set<std::size_t> liars; ///< admit nothing
};

/// From now on; forgets what was counted.
void begin_work(cheating how);
void end_work();
/// By host, since then.
[[nodiscard]] const std::map<std::size_t, work_done>& work_of_hosts() noexcept;
/// Whether the host that runs now lies about its own statements.
[[nodiscard]] bool lies_here() noexcept;

} // namespace ovir::swarm
