#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <functional>
#include <string>
#include <string_view>

namespace ovir::apps {

inline constexpr std::array<std::string_view, 5> log_keys{"level", "format", "file", "max_mib",
                                                          "files"};

/// The table [log] of a node's configuration.
[[nodiscard]] result<void>
read_log(const config_reader& in, const toml::table& table,
         const std::function<result<std::string>(std::string_view key)>& file_path,
         supervision::node_options& out);

} // namespace ovir::apps
