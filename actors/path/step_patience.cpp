#include "actors/path/step_patience.hpp"

#include "messages/limits/general.hpp"
#include "messages/limits/paths.hpp"

#include <algorithm>

namespace ovir::actors {

using std::chrono::nanoseconds;

void step_patience::drawn(nanoseconds step) noexcept {
  complained_ = false;
  calm_ = step <= usual(true) ? calm_ + 1 : 0;
  if (calm_ >= limits::slack_calm_tokens && doublings_ > 0) {
    --doublings_;
    calm_ = 0;
  }
  smoothed_ = best_ ? (7 * smoothed_ + step) / 8 : step;
  best_ = std::min(best_.value_or(smoothed_), smoothed_);
}

bool step_patience::complained() noexcept {
  doublings_ = std::min(doublings_ + 1, limits::slack_doublings_max);
  calm_ = 0;
  const bool again = complained_;
  complained_ = true;
  return again;
}

nanoseconds step_patience::usual(bool one_step) const noexcept {
  nanoseconds step = best_.value_or(forecast_.token);
  if (forecast_.token.count() > 0) {
    step = std::min(step, limits::slack_forecast_factor * forecast_.token);
  }
  if (!one_step) {
    step = std::max(step, forecast_.chunk);
  }
  return std::clamp<nanoseconds>(limits::slack_steps * step, limits::slack_min,
                                 limits::slack_usual_max);
}

nanoseconds step_patience::allowed(bool one_step) const noexcept {
  return std::min<nanoseconds>(usual(one_step) * (std::int64_t{1} << doublings_),
                               limits::slack_max);
}

} // namespace ovir::actors
