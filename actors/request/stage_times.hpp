#pragma once

#include "messages/ids.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace ovir::actors {

/// What each stage of a path took for a step, as its neighbours saw it: from when the one before it
/// had handed over to when the one behind it had what it needs. The lead is before the first and
/// behind the last. What a stage says moves its neighbours' times, and never its own. The times
/// hold the ways between, which who knows the links takes off. A value; all times are the lead's
/// clock.
class stage_times {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using nanoseconds = std::chrono::nanoseconds;

  /// A step of one position that brings `length` was sent to the first of `stages`. Only those of
  /// which stages tell their times count (`tells_time`); what came of an earlier one is dropped.
  void fed(epoch driver, position length, std::uint32_t stages, time_point now);
  /// What the lead took, before the latest `fed`, from an answer that counted to the next step.
  [[nodiscard]] std::optional<nanoseconds> lead() const noexcept { return lead_; }
  /// The stage says that it has computed it, `held` after what it needs had come.
  void computed(epoch driver, stage_index stage, position length, nanoseconds held, time_point now);
  /// The answer of the last stage is here.
  void answered(epoch driver, position length, time_point now);
  /// Of each stage, once everything is there; then it begins anew. Nothing where they contradict
  /// each other.
  [[nodiscard]] std::optional<std::vector<nanoseconds>> take();

private:
  struct seen {
    time_point handed_over;
    time_point had;
  };
  [[nodiscard]] bool is_this(epoch driver, position length) const noexcept {
    return waits_ && driver == driver_ && length == length_;
  }

  bool waits_{false};
  epoch driver_{};
  position length_{0};
  time_point fed_{};
  std::vector<std::optional<seen>> stages_;
  std::optional<time_point> answered_;
  std::optional<nanoseconds> lead_;
};

} // namespace ovir::actors
