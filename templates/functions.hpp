#pragma once

#include "templates/rendering.hpp"

namespace ovir::templates {

/// A second of the calendar, for `strftime_now`.
struct civil_time {
  std::int64_t seconds{0}; ///< since 1970-01-01 00:00, in the zone that is meant
};

[[nodiscard]] bool is_function(std::string_view name);
value call_function(rendering& r, std::string_view name, const call_values& with,
                    std::optional<civil_time> now);

} // namespace ovir::templates
