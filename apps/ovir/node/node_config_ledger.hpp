#pragma once

#include "apps/ovir/base/config_table.hpp"
#include "node/node_options.hpp"

#include <array>
#include <filesystem>
#include <string_view>
#include <vector>

/// The table [ledger] of a node's configuration.
namespace ovir::apps {

inline constexpr std::array<std::string_view, 11> ledger_section_keys{
    "folder",  "policy",  "mint_keys", "keeper",      "when_away", "follow",
    "rewards", "clients", "ask_ppm",   "ask_max_ppm", "stake"};

/// A list of at most `most` different keys of nodes; empty where `name` is not there.
[[nodiscard]] result<std::vector<node_id>> read_node_keys(const config_reader& in,
                                                          const toml::table& table,
                                                          std::string_view name, std::size_t most);

/// Reads it into `options`, whose roles are known. Paths count from `folder`. `malformed` as of
/// `config_reader`: also for keys of a keeper on another node.
[[nodiscard]] result<void> read_ledger_section(const config_reader& in, const toml::table& root,
                                               const std::filesystem::path& folder,
                                               supervision::node_options& options);

} // namespace ovir::apps
