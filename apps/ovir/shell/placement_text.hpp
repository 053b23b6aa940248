#pragma once

#include "apps/console.hpp"

#include <string>

namespace ovir::apps {

/// Draws who holds which layers of each model, who shall, and what is done about the difference
/// (docs/formats/admin.md, placement).
[[nodiscard]] std::string placement_text(const json& data);

} // namespace ovir::apps
