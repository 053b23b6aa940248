#pragma once

#include "compute/model/model_config.hpp"
#include "messages/result.hpp"

#include <cstdint>

namespace ovir::learning {

/// What a pass keeps from its way forward for its way back. The rest is computed again, with the
/// same bits.
struct pass_plan {
  std::uint32_t tapes{0};  ///< of so many last layers all that they need is kept
  std::uint32_t stride{1}; ///< of the layers before, the stream of every so manieth
  std::uint64_t bytes{0};  ///< that it takes, scratch memory among it

  friend bool operator==(const pass_plan&, const pass_plan&) = default;
};

/// The plan that computes the least again within `bytes_max`, for a pass of `rows` rows of which no
/// example has more than `longest`, on `threads` threads. `over_limit` says how many bytes the
/// least demanding plan takes.
[[nodiscard]] result<pass_plan> plan_pass(const compute::model_config& config, std::uint32_t rank,
                                          std::uint64_t rows, std::uint64_t longest,
                                          std::uint64_t threads, std::uint64_t bytes_max);

} // namespace ovir::learning
