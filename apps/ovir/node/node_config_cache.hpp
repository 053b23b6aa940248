#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <functional>
#include <string>
#include <string_view>

namespace ovir::apps {

/// The keys of [cache]; config/all.toml says what each means.
inline constexpr std::array<std::string_view, 7> cache_keys{
    "enabled", "folder", "memory_mib", "disk_mib", "share", "peers", "owner_key_file"};

/// Reads [cache]. `file_path` gives the path that a key names; empty where the key is not there.
[[nodiscard]] result<supervision::cache_option>
read_cache(const config_reader& in, const toml::table& table,
           const std::function<result<std::string>(std::string_view key)>& file_path);

} // namespace ovir::apps
