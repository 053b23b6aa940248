#pragma once

#include "actors/path/planner.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// A cluster described in a file: config/cluster.toml shows every key with unit, default and bound.
namespace ovir::apps {

struct cluster_description {
  std::vector<actors::plan_node> nodes; ///< names distinct and printable
  std::vector<actors::plan_link> links; ///< at most one per pair
  std::optional<std::uint32_t> lead;
};

/// Errors are `malformed` and name `path`, line and column: what is not TOML, a key nobody knows, a
/// value of another type or outside its range, a name that means nothing.
[[nodiscard]] result<cluster_description> parse_cluster(const std::string& path,
                                                        std::string_view text);

} // namespace ovir::apps
