#pragma once

#include "messages/ids.hpp"
#include "messages/request/params.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// A text as one vector (docs/formats/embedding.md).
namespace ovir::compute {

/// Takes the hidden rows of a text's positions in order and makes a vector of length 1 of them. A
/// value: the same rows make the same bits, however they were divided.
class pooled_rows {
public:
  /// Of positions [0, end), `end` at least 1; rows of `dim` elements.
  pooled_rows(pooling how, position end, std::uint32_t dim);

  /// The first position whose row is still wanted; all before are not, whether they were taken or
  /// not.
  [[nodiscard]] position next() const noexcept { return next_; }
  [[nodiscard]] bool whole() const noexcept { return next_ == end_; }
  /// Rows of positions from `first` on, [n][dim]. Rows that are not wanted are passed over; where
  /// the next one that is wanted is behind a gap, so are all.
  void take(position first, std::span<const float> rows);
  /// Divided by its length; all zero where that is 0. Precondition: `whole`.
  [[nodiscard]] std::vector<float> vector() const;

private:
  position next_;
  position end_;
  std::vector<double> sum_;
};

/// The first `dimensions` elements of a vector, of length 1 again; all zero where these are.
/// Precondition: at least 1, and no more than there are.
[[nodiscard]] std::vector<float> shortened(std::span<const float> vector, std::size_t dimensions);

} // namespace ovir::compute
