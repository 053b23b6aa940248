#pragma once

#include "messages/result.hpp"
#include "messages/swarm_line.hpp"
#include "storage/env/env.hpp"

#include <string>

/// What `ovir up` keeps in a node's folder, beside the node's own files.
namespace ovir::apps {

/// The folder of a node that `ovir up` makes: `given`, else `up` in the state folder. Absolute.
[[nodiscard]] result<std::string> up_folder(const std::string& given);
[[nodiscard]] std::string up_config_in(const std::string& folder);

/// Keeps a swarm's own line, which is a secret. `invalid_argument` where there is one already.
[[nodiscard]] result<void> keep_line(storage::env& environment, const std::string& folder,
                                     const swarm_line& line);
/// The line that other machines join by, with the node's own address first. `not_found` where the
/// folder has none: it is of no such node, or of one that joined by an invitation.
[[nodiscard]] result<swarm_line> kept_line(storage::env& environment, const std::string& folder,
                                           const std::string& address);

} // namespace ovir::apps
