#include "actors/runtime/speed_estimate.hpp"

#include "messages/limits/general.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace ovir::actors {

namespace {

bool positive(double value) { return std::isfinite(value) && value > 0; }

} // namespace

double smoothed_median::median() const {
  std::vector<double> sorted(recent_.begin(),
                             recent_.begin() + static_cast<std::ptrdiff_t>(count_));
  std::sort(sorted.begin(), sorted.end());
  return (sorted[(count_ - 1) / 2] + sorted[count_ / 2]) / 2;
}

void smoothed_median::add(double value) {
  recent_[count_++] = value;
  if (count_ == group) {
    const double middle = median();
    smoothed_ = smoothed_ ? *smoothed_ + weight_of_new * (middle - *smoothed_) : middle;
    count_ = 0;
  }
}

std::optional<double> smoothed_median::value() const {
  if (smoothed_ || count_ == 0) {
    return smoothed_;
  }
  return median();
}

void speed_estimate::add(const speed_sample& sample) {
  const double speed = static_cast<double>(sample.weight_bytes) * sample.positions / sample.seconds;
  if (!positive(sample.seconds) || !positive(speed)) {
    return;
  }
  if (sample.positions == 1) {
    decode_.add(speed);
  } else if (sample.positions >= limits::speed_prefill_positions_min) {
    prefill_.add(speed);
  }
}

std::optional<double> prediction_error(double predicted, double measured) {
  if (!positive(predicted) || !positive(measured)) {
    return std::nullopt;
  }
  return predicted / measured - 1;
}

std::string prediction_text(double predicted_tps, double measured_tps) {
  const auto error = prediction_error(predicted_tps, measured_tps);
  if (!error) {
    return {};
  }
  const double percent = std::round(*error * 100);
  const std::string off = percent == 0 ? "right"
                                       : fmt::format("{:.0f} % too {}", std::abs(percent),
                                                     percent > 0 ? "high" : "low");
  return fmt::format("predicted {:.1f} tokens/s, measured {:.1f}: {}", predicted_tps, measured_tps,
                     off);
}

} // namespace ovir::actors
