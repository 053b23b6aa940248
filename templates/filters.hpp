#pragma once

#include "templates/rendering.hpp"

namespace ovir::templates {

struct filter_entry {
  std::string_view name;
  std::array<std::string_view, 4> parameters; ///< behind what it is applied to
  value (*run)(rendering&, const value&, const bound&);
};

/// Filters of texts and numbers (filters.cpp) and of lists (filters_lists.cpp).
[[nodiscard]] std::span<const filter_entry> text_filters();
[[nodiscard]] std::span<const filter_entry> list_filters();

value apply_filter(rendering& r, std::string_view name, call_values with);
/// The filter "map".
value map(rendering& r, const call_values& with);
/// The filters "select", "reject", "selectattr", "rejectattr".
value choose(rendering& r, std::string_view name, const call_values& with);

// Filters that are methods of texts, too.
value filter_upper(rendering& r, const value& v, const bound& with);
value filter_lower(rendering& r, const value& v, const bound& with);
value filter_capitalize(rendering& r, const value& v, const bound& with);
value filter_join(rendering& r, const value& v, const bound& with);

} // namespace ovir::templates
