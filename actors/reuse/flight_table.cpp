#include "actors/reuse/flight_table.hpp"

#include "messages/limits/cache.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

bool flight_table::free(const std::vector<digest>& windows, std::size_t wanted) const {
  const auto end = windows.begin() + static_cast<std::ptrdiff_t>(std::min(wanted, windows.size()));
  return std::none_of(windows.begin(), end, [this](const digest& window) {
    return claims_.contains(window) && !there_.contains(window);
  });
}

void flight_table::take_off(request_id request, std::vector<digest> windows, time_point now) {
  for (const digest& window : windows) {
    if (!there_.contains(window)) {
      claims_.try_emplace(window, request);
    }
  }
  flights_.insert_or_assign(request, flight{std::move(windows), 0, 0, now});
}

bool flight_table::enter(request_id request, std::vector<digest> windows, std::size_t wanted,
                         time_point now) {
  static_cast<void>(left(request, now)); // asked again: by a lead that began anew
  if (!free(windows, wanted) && waiting_.size() < limits::flights_waiting_max) {
    waiting_.push_back({request, std::move(windows), wanted});
    ++waited_;
    return false;
  }
  take_off(request, std::move(windows), now);
  return true;
}

void flight_table::release(request_id request, flight& of, std::size_t windows) {
  for (; of.released < std::min(windows, of.windows.size()); ++of.released) {
    const auto claim = claims_.find(of.windows[of.released]);
    if (claim != claims_.end() && claim->second == request) {
      claims_.erase(claim);
    }
  }
}

void flight_table::forget(const flight& of) {
  for (std::size_t i = 0; i < of.computed; ++i) {
    const auto known = there_.find(of.windows[i]);
    if (--known->second == 0) {
      there_.erase(known);
    }
  }
}

// In the order of their coming: each that goes may claim what the next one waits for.
std::vector<request_id> flight_table::let_go(time_point now) {
  std::vector<request_id> gone;
  for (auto w = waiting_.begin(); w != waiting_.end();) {
    if (free(w->windows, w->wanted)) {
      take_off(w->request, std::move(w->windows), now);
      gone.push_back(w->request);
      w = waiting_.erase(w);
    } else {
      ++w;
    }
  }
  return gone;
}

std::vector<request_id> flight_table::computed(request_id request, std::size_t windows,
                                               time_point now) {
  const auto found = flights_.find(request);
  if (found == flights_.end()) {
    return {};
  }
  flight& of = found->second;
  of.moved = now;
  for (; of.computed < std::min(windows, of.windows.size()); ++of.computed) {
    ++there_[of.windows[of.computed]];
  }
  release(request, of, windows);
  return let_go(now);
}

std::vector<request_id> flight_table::left(request_id request, time_point now) {
  std::erase_if(waiting_, [&](const waiter& w) { return w.request == request; });
  const auto found = flights_.find(request);
  if (found == flights_.end()) {
    return {};
  }
  release(request, found->second, found->second.windows.size());
  forget(found->second);
  flights_.erase(found);
  return let_go(now);
}

std::vector<request_id> flight_table::tick(time_point now, std::chrono::nanoseconds patience) {
  if (waiting_.empty()) {
    return {};
  }
  for (auto& [request, of] : flights_) {
    if (of.released < of.windows.size() && now - of.moved >= patience) {
      release(request, of, of.windows.size());
      ++given_up_;
    }
  }
  return let_go(now);
}

} // namespace ovir::actors
