#include "apps/ovir/base/service_manager.hpp"

#include <systemd/sd-daemon.h>

namespace ovir::apps {

// sd_notify fails where the manager is gone; there is nobody left to tell then.

service_manager::service_manager(time_point now) {
  std::uint64_t micros = 0;
  if (::sd_watchdog_enabled(0, &micros) > 0) {
    every_ = std::chrono::microseconds{micros / 2};
  }
  next_ = now + every_;
}

void service_manager::ready(const std::string& status) const {
  static_cast<void>(::sd_notify(0, ("READY=1\nSTATUS=" + status).c_str()));
}

void service_manager::stopping() const {
  static_cast<void>(::sd_notify(0, "STOPPING=1\nSTATUS=drains"));
}

bool service_manager::beat_due(time_point now) const { return every_.count() > 0 && now >= next_; }

void service_manager::beat(time_point now) {
  static_cast<void>(::sd_notify(0, "WATCHDOG=1"));
  next_ = now + every_;
}

void service_manager::miss(time_point now) { next_ = now + every_; }

} // namespace ovir::apps
