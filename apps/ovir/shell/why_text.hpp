#pragma once

#include "apps/console.hpp"

#include <string>

namespace ovir::apps {

/// Where the time of a request goes, as a picture: the member `job` of docs/formats/admin.md,
/// `why`. What is not as it should be is left out.
[[nodiscard]] std::string why_text(const json& data);

} // namespace ovir::apps
