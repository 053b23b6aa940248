#pragma once

#include "actors/runtime/speed_estimate.hpp"

#include <cstdint>
#include <mutex>

namespace ovir::actors {

/// How fast a node's stages compute, from the steps they did: compute threads add, the host reads.
class step_meter {
public:
  /// Since it began.
  struct work {
    std::uint64_t passes{0};
    std::uint64_t positions{0};
    double seconds{0};
  };
  void add_pass(std::uint64_t positions, double seconds) {
    const std::lock_guard lock{guard_};
    ++done_.passes;
    done_.positions += positions;
    done_.seconds += seconds;
  }
  [[nodiscard]] work done() const {
    const std::lock_guard lock{guard_};
    return done_;
  }

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
  work done_;
};

} // namespace ovir::actors
