#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <string_view>

namespace ovir::apps {

inline constexpr std::array<std::string_view, 1> lan_keys{"announce"};

/// The table [lan] of a node's configuration. `out` has addresses and admins already.
[[nodiscard]] result<void> read_lan(const config_reader& in, const toml::table& root,
                                    supervision::node_options& out);

} // namespace ovir::apps
