#pragma once

#include "messages/limits/links.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace ovir::actors {

/// What the log says of nodes that are not let in. One that dials for ever, and many that dial
/// once, fill no log: a node is named once in `limits::refusal_told_every`, and
/// `limits::refusals_told_max` nodes are named in that time. The next line says how many were left
/// out.
class refusal_log {
public:
  /// The line to write, or nothing. `now`: Unix time, seconds.
  [[nodiscard]] std::optional<std::string> refused(const node_id& node, const std::string& why,
                                                   std::uint64_t now);

private:
  std::map<node_id, std::uint64_t> told_; ///< when, of those of the last while
  std::uint64_t left_out_{0};             ///< since the last line
};

} // namespace ovir::actors
