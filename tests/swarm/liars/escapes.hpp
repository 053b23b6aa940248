#pragma once

#include "ledger/rules/policy.hpp"
#include "tests/swarm/plan.hpp"

#include <cstdint>
#include <set>

namespace ovir::swarm {

/// In these runs all earn their standing first. Then a worker lies in a few windows, within so
/// short a time that none of them is found before the last one is told, while what it says is
/// audited at the rates that are shipped. Faults come once the others have their standing.
inline constexpr nanoseconds lies_begin = std::chrono::seconds{11};
inline constexpr nanoseconds lies_end = std::chrono::seconds{15};
inline constexpr std::uint64_t lies_most = 6; ///< windows, in one run
/// After which earnings are released and count as standing.
inline constexpr std::uint64_t escapes_window_s = 3;
/// As config/ledger.toml has it.
inline constexpr std::uint64_t shipped_rate_ppm = 150'000;

[[nodiscard]] intensity escapes_intensity();
[[nodiscard]] plan draw_escapes_plan(std::uint64_t seed, const intensity& how);
[[nodiscard]] std::uint64_t lies_of(std::uint64_t seed);

/// One more of them is honest than colludes.
[[nodiscard]] std::set<std::size_t> verifiers_among(const intensity& how);
[[nodiscard]] std::set<std::size_t> colluders_among(const intensity& how);

} // namespace ovir::swarm
