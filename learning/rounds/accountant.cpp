#include "learning/rounds/accountant.hpp"

#include "compute/base/exact_math.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace ovir::learning {

namespace {

/// e^-600: beside it nothing of the others is seen.
constexpr double least_exponent = -600;

} // namespace

noise_share least_noise(const round_task& task) {
  return {task.honest_min(), task.noise_variance, task.numbers, task.clip_units};
}

double rho_of(const noise_share& noise) {
  const auto variance = static_cast<double>(noise.variance);
  const double workers = noise.workers;
  const double numbers = noise.numbers;
  // How far the sum is from one discrete Gaussian, for one number.
  double tau = 0;
  for (std::uint32_t k = 1; k < noise.workers; ++k) {
    const double part = static_cast<double>(k) / (static_cast<double>(k) + 1);
    const double exponent = -2 * std::numbers::pi * std::numbers::pi * variance * part;
    tau += compute::exact_pow(std::numbers::e, std::max(exponent, least_exponent));
  }
  tau *= 10;
  const double clip = noise.clip_units;
  const double plain = clip * clip / (workers * variance);
  const double one = std::sqrt(plain + tau * numbers / 2);
  const double other = std::sqrt(plain) + tau * std::sqrt(numbers);
  const double epsilon = std::min(one, other); // of concentrated privacy
  return epsilon * epsilon / 2;
}

double epsilon_of(double rho, std::uint8_t delta_bits) {
  const double log_over_delta = delta_bits * std::numbers::ln2;
  double least = std::numeric_limits<double>::infinity();
  for (int j = -160; j <= 320; ++j) {
    const double above = compute::exact_pow(2, j / 16.0); // alpha - 1
    const double alpha = 1 + above;
    const double epsilon = rho * alpha + (log_over_delta - compute::exact_log(alpha)) / above -
                           compute::exact_log(1 + 1 / above);
    least = std::min(least, epsilon);
  }
  return std::max(least, 0.0);
}

double epsilon_of(const round_task& task) {
  if (task.mode != round_mode::masked) {
    return std::numeric_limits<double>::infinity();
  }
  return epsilon_of(rho_of(least_noise(task)), task.delta_bits);
}

} // namespace ovir::learning
