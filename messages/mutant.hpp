#pragma once

/// Planted errors of protocols, to see whether the simulator finds them (docs/SIMULATION.md). Only
/// a build with OVIR_MUTANTS has them, and there one at a time is switched on.
///
///   if (header.epoch != session.driver && !OVIR_MUTANT("stage_takes_old_frames")) {

#ifdef OVIR_MUTANTS

#include <string_view>

namespace ovir {

/// Empty: none.
void switch_mutant_on(std::string_view name);
[[nodiscard]] bool mutant_is_on(std::string_view name) noexcept;

} // namespace ovir

#define OVIR_MUTANT(name) ::ovir::mutant_is_on(name)

#else

#define OVIR_MUTANT(name) false

#endif
