#pragma once

#include "supervision/supervisor.hpp"

#include <string>

namespace ovir::supervision {

/// A tree as docs/formats/admin.md shows it to shells.
[[nodiscard]] std::string tree_json(const tree_node& root);

} // namespace ovir::supervision
