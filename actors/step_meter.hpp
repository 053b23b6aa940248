#pragma once

#include "actors/speed_estimate.hpp"

#include <mutex>

namespace ovir::actors {

/// How fast a node's stages compute, from the steps they did: compute threads add, the host reads.
class step_meter {
public:
  void add(const speed_sample& sample) {
    const std::lock_guard lock{guard_};
    seen_.add(sample);
  }
  [[nodiscard]] node_speeds speeds() const {
    const std::lock_guard lock{guard_};
    return seen_.speeds();
  }

private:
  mutable std::mutex guard_;
  speed_estimate seen_;
};

} // namespace ovir::actors
