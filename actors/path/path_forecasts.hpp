#pragma once

#include "actors/path/prediction_margin.hpp"
#include "actors/path/step_patience.hpp"
#include "messages/ids.hpp"

#include <map>
#include <mutex>

namespace ovir::actors {

/// What the pathfinder of a node expects of the paths it gave, for the leads that wait for their
/// stages, and how far that was off. Thread-safe.
class path_forecasts {
public:
  void tell(request_id request, const step_forecast& forecast) {
    const std::lock_guard lock{guard_};
    told_[request] = forecast;
  }
  void forget(request_id request) {
    const std::lock_guard lock{guard_};
    told_.erase(request);
  }
  /// Nothing is expected of what was not told.
  [[nodiscard]] step_forecast of(request_id request) const {
    const std::lock_guard lock{guard_};
    const auto found = told_.find(request);
    return found == told_.end() ? step_forecast{} : found->second;
  }

  /// A request whose path stayed the same took so many times what was predicted of it.
  void took(double times, bool close, prediction_margin::time_point now) {
    const std::lock_guard lock{guard_};
    margin_.add(times, close, now);
  }
  [[nodiscard]] double margin(prediction_margin::time_point now) const {
    const std::lock_guard lock{guard_};
    return margin_.at(now);
  }

private:
  mutable std::mutex guard_;
  std::map<request_id, step_forecast> told_; ///< of requests that have a lead
  prediction_margin margin_;
};

} // namespace ovir::actors
