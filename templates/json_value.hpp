#pragma once

#include "templates/value.hpp"

#include <nlohmann/json.hpp>

namespace ovir::templates {

/// A document as a template sees it, keys in their order. All its texts, keys too, were written
/// outside. Its depth and size are the caller's to bound.
[[nodiscard]] value value_of(const nlohmann::ordered_json& document);

} // namespace ovir::templates
