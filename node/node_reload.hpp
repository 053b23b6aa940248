#pragma once

#include "node/node_options.hpp"

#include <string>
#include <vector>

namespace ovir::supervision {

/// What changed from `now` to `fresh` and takes effect only when the node is started again: a
/// sentence for each key.
[[nodiscard]] std::vector<std::string> restarts_for(const node_options& now,
                                                    const node_options& fresh);

} // namespace ovir::supervision
