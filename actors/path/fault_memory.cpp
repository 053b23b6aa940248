#include "actors/path/fault_memory.hpp"

#include "messages/limits/paths.hpp"

#include <algorithm>

namespace ovir::actors {

std::uint32_t fault_memory::level_of(const entry& e, time_point now) {
  const auto steps = now > e.since ? (now - e.since) / limits::fault_decay : 0;
  return steps >= e.level ? 0 : e.level - static_cast<std::uint32_t>(steps);
}

std::uint32_t fault_memory::level(const node_id& node, time_point now) const {
  const auto found = known_.find(node);
  return found == known_.end() ? 0 : level_of(found->second, now);
}

// Where there is no room, the one that would be forgotten first makes room.
void fault_memory::note(const node_id& node, std::uint32_t weight, time_point now) {
  std::erase_if(known_, [now](const auto& one) { return level_of(one.second, now) == 0; });
  if (known_.size() >= limits::fault_nodes_max && !known_.contains(node)) {
    known_.erase(
        std::min_element(known_.begin(), known_.end(), [now](const auto& a, const auto& b) {
          return level_of(a.second, now) < level_of(b.second, now);
        }));
  }
  const std::uint32_t before = level(node, now);
  known_[node] = {std::min(before + weight, limits::fault_level_max), now};
}

} // namespace ovir::actors
