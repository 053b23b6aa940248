#pragma once

#include "actors/runtime/speed_estimate.hpp"
#include "compute/base/parallel.hpp"
#include "compute/forward/segment.hpp"
#include "messages/result.hpp"

#include <functional>

namespace ovir::actors {

/// Seconds since any moment, never falling.
using seconds_clock = std::function<double()>;

/// Measures a segment before it serves anybody, on a state of its own: one decode step that only
/// warms up, one to three that count, of which the middle one is taken, and one chunk of 8, 16 or
/// 32 positions. The machine's speed decides how many, so that it takes about
/// limits::speed_measure_seconds; a slow machine takes its four steps all the same. A short chunk
/// tells less than the machine can do in a long one: add the steps that follow to an estimate.
/// Uses the segment's scratch memory: nothing else may compute on it meanwhile. Errors are those of
/// `open` and `forward`, and `timed_out` when the clock stands still.
[[nodiscard]] result<node_speeds> measure_speeds(compute::segment& segment,
                                                 compute::parallel_runner& runner,
                                                 const seconds_clock& now);

} // namespace ovir::actors
