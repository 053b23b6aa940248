#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace ovir::swarm {

using nanoseconds = std::chrono::nanoseconds;

/// What happens later, by time and, at one time, in the order in which it was planned.
class event_queue {
public:
  void at(nanoseconds when, std::function<void()> act) {
    events_.push({when, next_++, std::move(act)});
  }
  [[nodiscard]] bool empty() const { return events_.empty(); }
  [[nodiscard]] std::size_t size() const { return events_.size(); }
  /// Precondition, as of `take`: not empty.
  [[nodiscard]] nanoseconds next_time() const { return events_.top().when; }
  std::function<void()> take() {
    // Nothing but `act` is changed, by which nothing is ordered.
    auto act = std::move(const_cast<event&>(events_.top()).act);
    events_.pop();
    return act;
  }

private:
  struct event {
    nanoseconds when;
    std::uint64_t order;
    std::function<void()> act;
    friend bool operator<(const event& a, const event& b) {
      return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
  };

  std::priority_queue<event> events_;
  std::uint64_t next_{0};
};

} // namespace ovir::swarm
