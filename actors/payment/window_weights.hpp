#pragma once

#include "ledger/rules/command.hpp"
#include "ledger/rules/rewards.hpp"
#include "messages/evidence/seen_times.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace ovir::actors {

/// How what a request pays is divided, fixed with its reservation.
struct reward_terms {
  struct planned {
    ledger::stage_terms stage;
    std::uint64_t memory_bytes{0}; ///< as of `ledger::stage_part`
  };
  ledger::reward_rule rule{ledger::reward_rule::work};
  std::uint64_t model_bytes{0};
  std::map<node_id, planned> nodes{}; ///< of the planned path; of one with two stages, the first
};

/// The weights of a path's stages in the division of one window, in its order. `own`: layers of the
/// window that each computed itself, of a model of so many layers. `seen`: of this window, or of
/// the last before it that others saw.
[[nodiscard]] std::vector<std::uint64_t>
window_weights(const reward_terms& terms, const ledger::reserve& reservation,
               std::span<const stage_records* const> path, std::uint32_t window,
               const seen_times& seen, std::uint32_t layers);

} // namespace ovir::actors
