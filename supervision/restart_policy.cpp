#include "supervision/restart_policy.hpp"

#include "messages/check.hpp"

#include <algorithm>

namespace ovir::supervision {

restart_policy::restart_policy(std::size_t restarts_max, duration window)
    : restart_policy(restarts_max, window, duration{0}, duration{0}) {}

restart_policy::restart_policy(std::size_t restarts_max, duration window, duration backoff_first,
                               duration backoff_max)
    : restarts_max_(restarts_max), window_(window), backoff_first_(backoff_first),
      backoff_max_(std::max(backoff_first, backoff_max)) {
  OVIR_CHECK(window.count() > 0 && backoff_first.count() >= 0);
}

verdict restart_policy::on_crash(time_point now) {
  OVIR_CHECK(restarts_.empty() || now >= restarts_.back());
  while (!restarts_.empty() && now - restarts_.front() >= window_) {
    restarts_.pop_front();
  }
  if (restarts_.size() >= restarts_max_) {
    return verdict::give_up;
  }
  restarts_.push_back(now);
  return verdict::restart;
}

restart_policy::duration restart_policy::backoff() const {
  duration wait = backoff_first_;
  for (std::size_t i = 1; i < restarts_.size() && wait < backoff_max_; ++i) {
    wait += wait;
  }
  return std::min(wait, backoff_max_);
}

} // namespace ovir::supervision
