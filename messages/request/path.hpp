#pragma once

#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <utility>
#include <vector>

namespace ovir {

/// The nodes of a path in its order, each with its layers. A node is empty within one process.
using layer_places = std::vector<std::pair<node_id, layer_range>>;

} // namespace ovir
