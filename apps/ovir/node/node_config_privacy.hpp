#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <string_view>

namespace ovir::apps {

inline constexpr std::array<std::string_view, 4> privacy_keys{"requests", "nodes", "first_layers",
                                                              "last_layers"};

/// The table [privacy] of a node's configuration.
[[nodiscard]] result<void> read_privacy(const config_reader& in, const toml::table& root,
                                        supervision::node_options& out);

/// The list `attestations`: texts that `ovir attest` made. Whose they are is seen at the start.
[[nodiscard]] result<void> read_attestations(const config_reader& in, const toml::table& root,
                                             supervision::node_options& out);

} // namespace ovir::apps
