#pragma once

#include "templates/rendering.hpp"

namespace ovir::templates {

/// Whether `with.plain.front()` passes the test, as in "x is defined".
bool apply_test(rendering& r, std::string_view name, const call_values& with);

} // namespace ovir::templates
