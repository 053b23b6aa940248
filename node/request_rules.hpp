#pragma once

#include "actors/request/jobs_core.hpp"
#include "messages/signing.hpp"
#include "node/node_options.hpp"

namespace ovir::supervision {

/// What a node's configuration says of every request that it drives.
[[nodiscard]] actors::jobs_settings request_rules(const node_options& options,
                                                  const secret_key& key);

} // namespace ovir::supervision
