#pragma once

#include "tests/tidy/source_text.hpp"

#include <vector>

namespace ovir::tidy {

/// Types of one name in one namespace that two files define. No compiler sees both, and the linker
/// takes one's member functions and templates for the other's too. Unnamed namespaces and types
/// within types or functions do not count.
[[nodiscard]] std::vector<finding> check_one_name(const std::vector<source>& files);

} // namespace ovir::tidy
