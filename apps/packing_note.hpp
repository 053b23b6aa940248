#pragma once

#include "storage/env/env.hpp"

#include <cstdint>
#include <string>

namespace ovir::apps {

/// What to tell a user who waits for weights to be packed: nothing within the first second, then a
/// line each second.
class packing_note {
public:
  explicit packing_note(storage::env::time_point start) : told_(start) {}

  /// At `now`, `done` of `total` bytes are packed. Empty when there is nothing to tell.
  [[nodiscard]] std::string at(storage::env::time_point now, std::uint64_t done,
                               std::uint64_t total);

private:
  storage::env::time_point told_; ///< the last time, or the start
};

} // namespace ovir::apps
