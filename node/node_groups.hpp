#pragma once

#include "actors/group/group_desk.hpp"
#include "actors/group/group_door.hpp"
#include "actors/group/group_keeper.hpp"
#include "actors/link/operator_names.hpp"
#include "actors/path/model_catalog.hpp"
#include "actors/protocol/remote_actor.hpp"
#include "actors/runtime/compute_executor.hpp"
#include "actors/runtime/log.hpp"
#include "node/node.hpp"
#include "node/node_options.hpp"

#include <cstdint>

namespace ovir::actors {
class peers;
}

namespace ovir::supervision {

/// The groups of a node, put together: what comes of its links, whom it leads and whom it joins.
/// It outlives the network and the jobs of the executor.
class node_groups {
public:
  /// `memory_bytes`: of the node; all of the others outlive it.
  node_groups(const node_options& options, const node_surroundings& around, actors::peers& links,
              const actors::model_catalog& models, const actors::operator_names& operators,
              actors::compute_executor& executor, std::uint64_t memory_bytes, actors::log& journal);

  /// Who hears of connections, instead of the links.
  [[nodiscard]] actors::network_handler& door() noexcept { return door_; }
  [[nodiscard]] actors::group_keeper& keeper() noexcept { return keeper_; }
  /// There is no network any more.
  void close() { desk_.close(); }

private:
  actors::group_desk desk_;
  actors::group_door door_;
  actors::group_keeper keeper_;
};

} // namespace ovir::supervision
