#pragma once

#include "actors/request/scheduler_actor.hpp"
#include "actors/stage/claimable_work.hpp"
#include "node/node_tree_actor.hpp"

#include <functional>
#include <memory>

namespace ovir::supervision {

/// Starts leads below the supervisor of leads, on behalf of the scheduler. In a cluster nothing is
/// computed before its quote is reserved.
[[nodiscard]] actors::lead_launcher
lead_launcher_for(const std::shared_ptr<const node_parts>& parts,
                  const std::shared_ptr<directory>& known);
/// Hands what stages signed to who claims their pay. Null where nothing is paid.
[[nodiscard]] std::function<void(actors::claimable_work)>
claims_to(const std::shared_ptr<const node_parts>& parts, const std::shared_ptr<directory>& known);

} // namespace ovir::supervision
