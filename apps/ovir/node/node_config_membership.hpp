#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

namespace ovir::apps {

/// The key 'membership' of a node's configuration. `out` has addresses, admins and token already.
[[nodiscard]] result<void> read_membership(const config_reader& in, const toml::table& root,
                                           supervision::node_options& out);

} // namespace ovir::apps
