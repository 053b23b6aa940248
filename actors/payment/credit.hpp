#pragma once

#include "messages/ids.hpp"
#include "messages/limits/general.hpp"

#include <cstddef>
#include <deque>

namespace ovir::actors {

/// Flow control of one request: how many frames may be under way in its pipe. A frame is under way
/// until every stage it concerns has confirmed its last position. A value; owned by the lead.
class credit {
public:
  explicit credit(std::size_t frames_max = limits::frames_in_flight_max)
      : frames_max_(frames_max) {}

  [[nodiscard]] bool available() const noexcept { return ends_.size() < frames_max_; }
  [[nodiscard]] std::size_t in_flight() const noexcept { return ends_.size(); }

  /// A frame of positions below `end` was sent. Precondition: `available()`, and `end` grows.
  void spend(position end);
  /// Every stage concerned has computed the positions below `done`.
  void confirm(position done);
  /// All frames under way are void: a new epoch.
  void reset() { ends_.clear(); }

private:
  std::size_t frames_max_;
  std::deque<position> ends_;
};

} // namespace ovir::actors
