#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace ovir::apps {

/// The member `explained` of an answer's document (docs/formats/admin.md, run) in lines for people,
/// one for each stage. Empty where nothing was explained. What is not as it should be is left out.
[[nodiscard]] std::string explained_text(const nlohmann::json& explained);

} // namespace ovir::apps
