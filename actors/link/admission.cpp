#include "actors/link/admission.hpp"

#include "messages/check.hpp"

#include <algorithm>

namespace ovir::actors {

admission::admission(std::size_t active_max, std::size_t waiting_max)
    : active_max_(active_max), waiting_max_(waiting_max) {
  OVIR_CHECK(active_max > 0);
}

admission::answer admission::submit(request_id id) {
  OVIR_CHECK(!active_.contains(id), id.value);
  if (active_.size() < active_max_) {
    active_.insert(id);
    return answer::start;
  }
  if (waiting_.size() < waiting_max_) {
    waiting_.push_back(id);
    return answer::wait;
  }
  return answer::busy;
}

std::optional<request_id> admission::done(request_id id) {
  if (active_.erase(id) == 0 || waiting_.empty()) {
    return std::nullopt;
  }
  const request_id next = waiting_.front();
  waiting_.pop_front();
  active_.insert(next);
  return next;
}

bool admission::withdraw(request_id id) {
  const auto found = std::find(waiting_.begin(), waiting_.end(), id);
  if (found == waiting_.end()) {
    return false;
  }
  waiting_.erase(found);
  return true;
}

} // namespace ovir::actors
