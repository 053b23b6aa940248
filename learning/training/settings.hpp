#pragma once

#include "learning/adapter/adapter.hpp"
#include "learning/training/optimiser.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <string>

namespace ovir::learning {

/// All that an adapter depends on beside model and examples: a value. What only changes speed or
/// memory is in `trainer_room`.
struct learn_settings {
  std::uint32_t rank{8};
  float alpha{16};
  std::uint8_t targets{all_targets};
  optimiser_settings optimiser{};
  std::uint32_t batch{8};     ///< examples of a step
  std::uint32_t steps{100};   ///< in all
  std::uint32_t warmup{0};    ///< steps over which the rate rises; fewer than `steps`
  bool rate_falls{true};      ///< evenly, to 0 behind the last step
  float clip{1};              ///< of the gradient's norm; 0: none
  std::uint32_t length{512};  ///< tokens of an example at most, longer ones were cut
  std::uint32_t held_back{0}; ///< examples that are only evaluated
  std::uint64_t seed{0};

  friend bool operator==(const learn_settings&, const learn_settings&) = default;
};

/// `invalid_argument` names what is out of its range.
[[nodiscard]] result<void> check_settings(const learn_settings& s);

/// One line that names every setting. Floats are written so that they read back as the same.
[[nodiscard]] std::string to_line(const learn_settings& s);

/// The rate of step `step`, from 0: binary64, rounded once.
[[nodiscard]] float rate_at(const learn_settings& s, std::uint32_t step);

} // namespace ovir::learning
