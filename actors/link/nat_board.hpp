#pragma once

#include "actors/link/nat_options.hpp"
#include "messages/node_id.hpp"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

namespace ovir::actors {

/// What a `reaching_network` finds out, for others in the node. Any thread.
class nat_board {
public:
  /// `relayed` in order.
  void put(nat_report report, std::vector<node_id> relayed) {
    const std::lock_guard lock{guard_};
    report_ = std::move(report);
    relayed_ = std::move(relayed);
  }
  [[nodiscard]] nat_report report() const {
    const std::lock_guard lock{guard_};
    return report_;
  }
  /// Whether the link with that node passes through a third one.
  [[nodiscard]] bool is_relayed(const node_id& node) const {
    const std::lock_guard lock{guard_};
    return std::binary_search(relayed_.begin(), relayed_.end(), node);
  }

private:
  mutable std::mutex guard_; ///< for what follows
  nat_report report_;
  std::vector<node_id> relayed_;
};

} // namespace ovir::actors
