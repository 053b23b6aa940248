#pragma once

#include "actors/link/nat_options.hpp"
#include "messages/evidence/stream_count.hpp"
#include "messages/limits/carriage.hpp"
#include "messages/node_id.hpp"

#include <algorithm>
#include <deque>
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
  /// What receivers signed for this node as a relay: kept for `take_bills`, the oldest dropped
  /// above limits::bills_waiting_max.
  void add_bills(const std::vector<carried_part>& fresh) {
    const std::lock_guard lock{guard_};
    for (const carried_part& one : fresh) {
      bills_.push_back(one);
    }
    while (bills_.size() > limits::bills_waiting_max) {
      bills_.pop_front();
    }
  }
  [[nodiscard]] std::vector<carried_part> take_bills() {
    const std::lock_guard lock{guard_};
    std::vector<carried_part> all{bills_.begin(), bills_.end()};
    bills_.clear();
    return all;
  }

private:
  mutable std::mutex guard_; ///< for what follows
  nat_report report_;
  std::vector<node_id> relayed_;
  std::deque<carried_part> bills_;
};

} // namespace ovir::actors
