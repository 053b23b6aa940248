#pragma once

#include "apps/console.hpp"
#include "messages/result.hpp"
#include "node/node_options.hpp"
#include "storage/env/env.hpp"

#include <string>
#include <string_view>
#include <vector>

/// A node described in a file: config/all.toml shows every key with unit, default and bound.
namespace ovir::apps {

/// What `path` of a [[model]] says for the model inside the program.
inline constexpr std::string_view embedded_model_path = "embedded";

/// Errors are `malformed` and begin "path:line:column: ": what is not TOML, a key nobody knows, a
/// value of another type or outside its bounds, keys that contradict one another; `over_limit` for
/// a file beyond limits::config_file_bytes_max.
///
/// Relative paths count from the folder of `path`; neither "~" nor environment variables are
/// expanded, and what looks like one is refused. `layers = "0-15"` names the first and the last
/// layer as people say them, both included: it becomes the half-open [0, 16).
[[nodiscard]] result<supervision::node_options> parse_node_config(const std::string& path,
                                                                  std::string_view text);

/// Reads and parses the file at `path`.
[[nodiscard]] result<supervision::node_options> read_node_config(storage::env& environment,
                                                                 const std::string& path);

/// Every key of the format, as "name", "access.key", "limits.memory_mib".
[[nodiscard]] std::vector<std::string> node_config_keys();

/// The options as a table for people, defaults filled in, one line each. A join token is a secret
/// until it is used: only its presence is shown.
[[nodiscard]] std::string describe(const supervision::node_options& options);
/// The same for programs. Layers are "first" and "last" inclusive, as in the file.
[[nodiscard]] json document_of(const supervision::node_options& options);

} // namespace ovir::apps
