#include "actors/path/prediction_margin.hpp"

#include "messages/limits/paths.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace ovir::actors {

void prediction_margin::add(double times, bool close, time_point now) {
  if (!(times > 0) || !std::isfinite(times)) {
    return;
  }
  list& to = close ? close_ : others_;
  to.push_back({times, now});
  if (to.size() > limits::margin_requests_max) {
    to.pop_front();
  }
}

// The next request is as likely to be of any rank among these and itself.
double prediction_margin::at(time_point now) const {
  std::vector<double> times;
  for (const list* const some : {&close_, &others_}) {
    if (times.size() >= limits::margin_one_in) {
      break;
    }
    for (const seen& one : *some) {
      if (now - one.when <= limits::margin_time) {
        times.push_back(one.times);
      }
    }
  }
  if (times.size() < limits::margin_requests_min) {
    return 1;
  }
  const std::size_t longer =
      times.size() < limits::margin_one_in
          ? 1 + times.size() / limits::margin_one_of_few
          : std::max<std::size_t>((times.size() + 1) / limits::margin_one_in, 1);
  const auto rank = times.end() - static_cast<std::ptrdiff_t>(longer);
  std::nth_element(times.begin(), rank, times.end());
  return std::clamp(*rank, 1.0, limits::margin_max);
}

} // namespace ovir::actors
