#pragma once

#include "messages/ids.hpp"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ovir::learning {

/// Token ids to learn from: a value.
struct example {
  std::vector<token_id> ids; ///< at least two
  /// Of each id, whether predicting it counts; never of the first, which nothing predicts.
  std::vector<std::uint8_t> counts;

  /// Positions of a pass: the last id predicts nothing.
  [[nodiscard]] std::uint32_t rows() const noexcept {
    return static_cast<std::uint32_t>(ids.size()) - 1;
  }
  [[nodiscard]] std::uint32_t counted() const noexcept {
    return static_cast<std::uint32_t>(
        std::count_if(counts.begin(), counts.end(), [](std::uint8_t c) { return c != 0; }));
  }
  friend bool operator==(const example&, const example&) = default;
};

} // namespace ovir::learning
