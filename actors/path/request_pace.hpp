#pragma once

#include "messages/request/path.hpp"

#include <chrono>
#include <optional>
#include <vector>

namespace ovir::actors {

/// How a request goes, as its lead saw it at a step whose stages told their times.
struct request_pace {
  layer_places path;
  std::vector<std::chrono::nanoseconds> took; ///< of each stage, the ways to and from it included
  std::chrono::nanoseconds token{0};          ///< from a token to the next, of late
  std::chrono::nanoseconds planned{0};        ///< what the plan expected of that; 0: nothing
  /// Of one with a deadline: until then, and what the rest takes at this pace.
  std::optional<std::chrono::nanoseconds> left;
  std::optional<std::chrono::nanoseconds> needed;
};

} // namespace ovir::actors
