#pragma once

#include "templates/rendering.hpp"

namespace ovir::templates {

/// `of.name`.
value member(rendering& r, const value& of, std::string_view name);
/// `of[key]`.
value item(rendering& r, const value& of, const value& key);
/// What a path of names and numbers leads to: "function.name".
value path_of(rendering& r, const value& of, const value& path);
value call_method(rendering& r, const value& self, std::string_view name, const call_values& with);
value call_dict_method(rendering& r, const dict_value& self, std::string_view name,
                       const bound& with);

} // namespace ovir::templates
