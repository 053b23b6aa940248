#pragma once

#include <chrono>
#include <cstddef>
#include <deque>

namespace ovir::actors {

/// How much longer than predicted the latest requests took: what is allowed for before a deadline
/// is promised. Of requests that take as long as those before them, at most one in
/// limits::margin_one_in takes longer than its prediction times this, while there were fewer one in
/// limits::margin_one_of_few: one that met a node which became slow says nothing of others. Who has
/// much time lets others pass: once there are enough of those who had little, they alone count. A
/// value; times are handed in.
class prediction_margin {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// A request took so many times what was predicted of it. `close`: it had little more time.
  /// Positive, else it is left out; `now` does not fall.
  void add(double times, bool close, time_point now);
  /// 1 to limits::margin_max; 1 where little was seen of late.
  [[nodiscard]] double at(time_point now) const;

private:
  struct seen {
    double times{1};
    time_point when;
  };
  using list = std::deque<seen>; ///< oldest first, at most limits::margin_requests_max

  list close_;
  list others_;
};

} // namespace ovir::actors
