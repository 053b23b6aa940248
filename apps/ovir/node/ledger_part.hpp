#pragma once

#include "messages/node_id.hpp"

#include <span>
#include <string>

namespace ovir::apps {

/// The table [ledger] of a new node's configuration, whose key is `node`: it keeps the ledger alone
/// or with others, uses the one that `keepers` keep, or, if there are none, has none. A ledger of
/// several keepers is made apart from the configuration: a keeper that lost its disk must not begin
/// another.
[[nodiscard]] std::string ledger_part(std::span<const node_id> keepers, const node_id& node);

} // namespace ovir::apps
