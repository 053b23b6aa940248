#pragma once

#include "tests/swarm/plan.hpp"

#include <functional>

namespace ovir::swarm {

/// A plan with as few faults and requests as still fail: parts are left out, halves first, as long
/// as `fails` says so. At most `tries` runs.
[[nodiscard]] plan shrunk(plan all, const std::function<bool(const plan&)>& fails,
                          std::size_t tries);

} // namespace ovir::swarm
