#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <string_view>

namespace ovir::apps {

inline constexpr std::array<std::string_view, 2> reach_keys{"through_nat", "port_mapping"};

/// The table [reach] of a node's configuration.
[[nodiscard]] result<void> read_reach(const config_reader& in, const toml::table& root,
                                      supervision::node_options& out);

} // namespace ovir::apps
