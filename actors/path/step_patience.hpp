#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace ovir::actors {

/// What a plan expects of its path: from a token to the next, and of a chunk of a prompt, in its
/// slowest stage and in all of them. 0: unknown.
struct step_forecast {
  std::chrono::nanoseconds token{0};
  std::chrono::nanoseconds chunk{0};
  std::chrono::nanoseconds through{0};

  friend bool operator==(const step_forecast&, const step_forecast&) = default;
};

/// How long a lead waits for a stage before it looks for another: limits::slack_steps times what a
/// step takes. What a step takes is the least that it took so far in this request, smoothed, and at
/// most limits::slack_forecast_factor times what the plan expects: a stage that becomes slower
/// step by step moves neither. A request whose steps honestly become longer, with its context or
/// because a machine is busy, gets more by complaints that no better path follows: each doubles the
/// patience for the rest of the request, until it goes well again. A value: knows no clock.
class step_patience {
public:
  /// There is a path, perhaps another one.
  void expect(const step_forecast& path) noexcept { forecast_ = path; }
  /// A token was drawn, so long after the one before.
  void drawn(std::chrono::nanoseconds step) noexcept;
  /// A stage was complained of. True when that is not the first time since a token was drawn.
  [[nodiscard]] bool complained() noexcept;
  /// For how long an answer may be owed; `one_step`: to a step of one position.
  [[nodiscard]] std::chrono::nanoseconds allowed(bool one_step) const noexcept;

  /// What a step takes of late; 0 before there were two tokens. For estimates, not for patience.
  [[nodiscard]] std::chrono::nanoseconds smoothed() const noexcept { return smoothed_; }

private:
  [[nodiscard]] std::chrono::nanoseconds usual(bool one_step) const noexcept;

  step_forecast forecast_;
  std::chrono::nanoseconds smoothed_{0};
  std::optional<std::chrono::nanoseconds> best_; ///< the least that `smoothed_` was
  std::uint32_t doublings_{0};
  std::uint32_t calm_{0}; ///< tokens in the usual time, in a row
  bool complained_{false};
};

} // namespace ovir::actors
