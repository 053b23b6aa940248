#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <string_view>

namespace ovir::apps {

inline constexpr std::array<std::string_view, 3> link_keys{"transport", "shared_memory",
                                                           "busy_read_us"};

/// The table [link] of a node's configuration.
[[nodiscard]] result<void> read_link(const config_reader& in, const toml::table& root,
                                     supervision::node_options& out);

} // namespace ovir::apps
