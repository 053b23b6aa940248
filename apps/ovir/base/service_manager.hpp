#pragma once

#include <chrono>
#include <string>

namespace ovir::apps {

/// What systemd hears of a service of type notify. Without one that listens ($NOTIFY_SOCKET) every
/// call does nothing.
class service_manager {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `now`: the first sign of life is due half a watchdog's time later.
  explicit service_manager(time_point now);

  /// The service answers from now on; `status` is a line for `systemctl status`.
  void ready(const std::string& status) const;
  void stopping() const;

  /// Whether a sign of life is due: twice in the time after which the manager gives the service up
  /// ($WATCHDOG_USEC), never where it watches nothing.
  [[nodiscard]] bool beat_due(time_point now) const;
  void beat(time_point now);
  /// No sign of life this time; the question is asked again after as long.
  void miss(time_point now);

private:
  std::chrono::microseconds every_{0}; ///< 0: nobody watches
  time_point next_;
};

} // namespace ovir::apps
