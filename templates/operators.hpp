#pragma once

#include "templates/rendering.hpp"

namespace ovir::templates {

/// `op` is "+", "-", "*", "/", "//", "%" or "**".
value arithmetic(rendering& r, std::string_view op, const value& a, const value& b);
value integer_arithmetic(rendering& r, std::string_view op, std::int64_t a, std::int64_t b);
/// What a binary operator gives, also of texts and lists; "~" joins texts.
value combined(rendering& r, std::string_view op, const value& a, const value& b);
/// `sign` is "not", "-" or "+".
value signed_value(rendering& r, std::string_view sign, const value& v);
/// `op` is "==", "!=", "<", "<=", ">", ">=", "in" or "not in".
bool holds(rendering& r, const value& a, std::string_view op, const value& b);
/// A part of a text or list as Python's `of[from:to:step]`; none where a bound is left out.
value sliced(rendering& r, const value& of, const value& from, const value& to, const value& step);

} // namespace ovir::templates
