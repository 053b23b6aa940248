#pragma once

#include "messages/node_id.hpp"

#include <chrono>
#include <cstdint>
#include <map>

namespace ovir::actors {

/// What a pathfinder remembers of nodes whose stages were at fault, over requests: a node with a
/// higher level is planned behind those with a lower one. A level goes down by one every
/// limits::fault_decay, so that a node that was unlucky, or was mended, is used again. A value:
/// knows no clock.
class fault_memory {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// A stage of this node was at fault.
  void note(const node_id& node, std::uint32_t weight, time_point now);
  /// 0: nothing is held against it; at most limits::fault_level_max.
  [[nodiscard]] std::uint32_t level(const node_id& node, time_point now) const;
  [[nodiscard]] std::size_t size() const noexcept { return known_.size(); }

private:
  struct entry {
    std::uint32_t level{0}; ///< at `since`
    time_point since;
  };
  [[nodiscard]] static std::uint32_t level_of(const entry& e, time_point now);

  std::map<node_id, entry> known_; ///< at most limits::fault_nodes_max
};

} // namespace ovir::actors
