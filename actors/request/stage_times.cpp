#include "actors/request/stage_times.hpp"

#include "actors/protocol/protocol.hpp"

#include <algorithm>

namespace ovir::actors {

void stage_times::fed(epoch driver, position length, std::uint32_t stages, time_point now) {
  if (answered_ && driver == driver_ && length == length_ + 1) {
    lead_ = now - *answered_;
  }
  if (!tells_time(length)) {
    return; // what stages say of the step before may still come
  }
  waits_ = true;
  driver_ = driver;
  length_ = length;
  fed_ = now;
  stages_.assign(stages, std::nullopt);
  answered_.reset();
}

void stage_times::computed(epoch driver, stage_index stage, position length, nanoseconds held,
                           time_point now) {
  if (is_this(driver, length) && stage.value < stages_.size() && !stages_[stage.value]) {
    stages_[stage.value] = seen{now, now - std::max(held, nanoseconds{0})};
  }
}

void stage_times::answered(epoch driver, position length, time_point now) {
  if (is_this(driver, length) && !answered_) {
    answered_ = now;
  }
}

std::optional<std::vector<stage_times::nanoseconds>> stage_times::take() {
  const bool whole =
      waits_ && answered_ &&
      std::all_of(stages_.begin(), stages_.end(), [](const auto& s) { return s.has_value(); });
  if (!whole) {
    return std::nullopt;
  }
  waits_ = false;
  std::vector<nanoseconds> times;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    const time_point from = i == 0 ? fed_ : stages_[i - 1]->handed_over;
    const time_point to = i + 1 == stages_.size() ? *answered_ : stages_[i + 1]->had;
    if (to <= from) {
      return std::nullopt;
    }
    times.push_back(to - from);
  }
  return times;
}

} // namespace ovir::actors
