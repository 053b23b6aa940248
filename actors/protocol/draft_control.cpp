#include "actors/protocol/draft_control.hpp"

#include <algorithm>
#include <cmath>

namespace ovir::actors {

namespace {

/// Of a new measurement.
constexpr double weight_of_new = 0.25;
/// A measurement counts as at most so many times what was usual: the machine did something else.
constexpr double outlier = 2;
/// What remains of earlier guesses with each pass.
constexpr double memory = 0.95;
/// Before any was tried, two guesses out of three are taken to be right.
constexpr double right_before = 1;
constexpr double tried_before = 1.5;
/// By how much a guess more than was ever measured is taken to slow a pass.
constexpr double growth = 0.05;

/// Tokens that a pass with guesses gives, when each is right with probability `p` if those before
/// it are.
double tokens_expected(double p, std::uint32_t drafted) {
  double sum = 1;
  double all_right = 1;
  for (std::uint32_t i = 0; i < drafted; ++i) {
    all_right *= p;
    sum += all_right;
  }
  return sum;
}

} // namespace

bool draft_control::asks() const noexcept {
  if (mode_ == speculation::off || resting_ > 0) {
    return false;
  }
  return mode_ == speculation::on || (plain_seen_ >= plain_first && since_plain_ < plain_every);
}

// Measured, or as if times grew evenly from the nearest number below that was measured to the
// nearest above.
double draft_control::time_of(std::uint32_t drafted) const {
  if (seconds_[drafted] > 0) {
    return seconds_[drafted];
  }
  std::uint32_t below = drafted;
  while (below > 0 && seconds_[below] <= 0) {
    --below;
  }
  for (std::uint32_t above = drafted + 1; above < seconds_.size(); ++above) {
    if (seconds_[above] > 0) {
      const double share = static_cast<double>(drafted - below) / (above - below);
      return seconds_[below] + share * std::max(seconds_[above] - seconds_[below], 0.0);
    }
  }
  return seconds_[below] * (1 + growth * (drafted - below));
}

std::uint32_t draft_control::best_of(std::uint32_t available) const {
  const double p = (right_ + right_before) / (tried_ + tried_before);
  std::uint32_t best = 0;
  double most = gain_min / time_of(0);
  for (std::uint32_t k = 1; k <= available; ++k) {
    if (const double rate = tokens_expected(p, k) / time_of(k); rate > most) {
      best = k;
      most = rate;
    }
  }
  return best;
}

double draft_control::promise(std::uint32_t available) const {
  if (!asks()) {
    return 0;
  }
  double most = 0;
  const double p = (right_ + right_before) / (tried_ + tried_before);
  for (std::uint32_t k = 1; k <= std::min(available, limits::draft_tokens_max); ++k) {
    most = std::max(most, tokens_expected(p, k) / (seconds_[0] > 0 ? time_of(k) : 1));
  }
  return most;
}

std::uint32_t draft_control::choose(std::uint32_t available) {
  available = std::min(available, limits::draft_tokens_max);
  if (available == 0 || !asks()) {
    return 0;
  }
  if (mode_ == speculation::on) {
    return available;
  }
  if (seconds_[0] <= 0) { // a clock that stands still: nothing can be compared
    return 0;
  }
  if (trying_) {
    return std::min(available, trial);
  }
  const std::uint32_t best = best_of(available);
  if (best == 0) {
    rest();
  }
  return best;
}

void draft_control::passed(std::uint32_t drafted, std::uint32_t accepted,
                           std::chrono::nanoseconds time) {
  const double seconds = std::chrono::duration<double>(time).count();
  double& usual = seconds_[drafted];
  usual =
      usual <= 0 ? seconds : usual + weight_of_new * (std::min(seconds, outlier * usual) - usual);
  resting_ -= std::min(resting_, 1U);
  if (drafted == 0) {
    ++plain_seen_;
    since_plain_ = 0;
    return;
  }
  ++since_plain_;
  right_ = memory * right_ + accepted;
  tried_ = memory * tried_ + accepted + (accepted < drafted ? 1 : 0);
  trying_ = false;
  if (accepted > 0 && tokens_expected(1, accepted) / seconds > gain_min / time_of(0)) {
    rest_next_ = rest_min;
  }
}

void draft_control::rest() {
  resting_ = rest_next_;
  rest_next_ = std::min(2 * rest_next_, rest_max);
  trying_ = true;
}

} // namespace ovir::actors
