#pragma once

#include "actors/runtime/log.hpp"

#include <map>
#include <mutex>
#include <string>

namespace ovir::supervision {

/// A node's log as each of its parts writes there. Thread-safe. `journal` outlives it.
class part_logs {
public:
  explicit part_logs(actors::log& journal) : journal_(journal) {}

  /// Lives as long as this.
  [[nodiscard]] actors::log* of(const char* part) {
    const std::lock_guard lock{guard_};
    return &logs_.try_emplace(part, journal_, part).first->second;
  }

private:
  actors::log& journal_;
  std::mutex guard_;
  std::map<std::string, actors::part_log> logs_;
};

} // namespace ovir::supervision
