#pragma once

#include "actors/placement/placement_state.hpp"

#include <vector>

namespace ovir::actors {

/// Marks the layers of the model that lie on the node's disk, or are on their way there.
[[nodiscard]] layer_marks on_disk(const placement_node& node, const placeable_model& model);

/// Orders to fetch, for their disks alone, the layers of wanted models that lie on one disk only
/// where two copies are asked for. `aim`: who is to hold what, of the same nodes. Nodes with most
/// room take them, in parts, so that no single one has to give them back.
[[nodiscard]] std::vector<placement_order>
spare_orders(const std::vector<placeable_model>& models,
             const std::vector<const placement_node*>& nodes, const placement_state& aim);

} // namespace ovir::actors
