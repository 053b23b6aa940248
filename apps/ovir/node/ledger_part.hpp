#pragma once

#include "messages/node_id.hpp"

#include <string>

namespace ovir::apps {

/// The table [ledger] of a new node's configuration, whose key is `node`: it keeps the ledger, uses
/// the one that `keeper` keeps, or, if that is empty, has none.
[[nodiscard]] std::string ledger_part(const node_id& keeper, const node_id& node);

} // namespace ovir::apps
