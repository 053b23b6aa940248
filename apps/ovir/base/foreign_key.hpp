#pragma once

#include "messages/result.hpp"
#include "node/node_options.hpp"
#include "storage/env/env.hpp"

/// A node does not hold the keys of those who operate it.
namespace ovir::apps {

/// `invalid_argument` when a file in the node's state folder is a secret key whose public half is
/// among `admins`, or operates by `[[access]]`: who takes such a node takes the cluster.
[[nodiscard]] result<void> refuse_operators_keys(storage::env& environment,
                                                 const supervision::node_options& how);

} // namespace ovir::apps
