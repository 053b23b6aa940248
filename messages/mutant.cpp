#include "messages/mutant.hpp"

#ifdef OVIR_MUTANTS

#include <string>

namespace ovir {

namespace {

std::string on;

} // namespace

void switch_mutant_on(std::string_view name) { on = name; }

bool mutant_is_on(std::string_view name) noexcept { return on == name; }

} // namespace ovir

#endif
