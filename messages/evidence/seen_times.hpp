#pragma once

#include "messages/evidence/evidence.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ovir {

/// For how long each stage of a path held the steps of a window, as the others saw it.
struct seen_times {
  std::uint64_t steps{0};          ///< that came one after another and that all others timed
  std::vector<std::uint64_t> held; ///< of each stage, of all these steps, in microseconds
};

/// From one arrival at a stage to the next, every stage holds the step once: of stage i, what is
/// left of that time at another stage when all others are taken off. So the ways between them
/// count, and what a stage says of itself does not. Of several others the least counts: one that
/// makes its time longer than it was gains nothing by it. No clocks are compared. `path` is in its
/// order and has two stages at least; else, and of windows that a stage has not stated, there are
/// no steps.
[[nodiscard]] seen_times times_seen(std::span<const stage_records* const> path,
                                    std::uint32_t window);

} // namespace ovir
