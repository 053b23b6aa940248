#include "compute/forward/pooled_rows.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ovir::compute {

pooled_rows::pooled_rows(pooling how, position end, std::uint32_t dim)
    : next_(how == pooling::mean ? 0 : end - 1), end_(end), sum_(dim) {
  OVIR_CHECK(end > 0 && dim > 0);
}

void pooled_rows::take(position first, std::span<const float> rows) {
  const std::size_t dim = sum_.size();
  OVIR_CHECK(rows.size() % dim == 0, rows.size());
  const auto count = static_cast<position>(rows.size() / dim);
  if (first > next_) {
    return;
  }
  const position end = std::min(end_, first + count);
  for (; next_ < end; ++next_) {
    const auto row = rows.subspan(std::size_t{next_ - first} * dim, dim);
    for (std::size_t i = 0; i < dim; ++i) {
      sum_[i] += static_cast<double>(row[i]);
    }
  }
}

// The mean is the sum divided by a number, which a division by the length takes away again.
std::vector<float> pooled_rows::vector() const {
  OVIR_CHECK(whole());
  // Rows are binary32, so squares of sums stay far below what binary64 holds.
  double squares = 0;
  for (const double x : sum_) {
    squares += x * x;
  }
  const double length = std::sqrt(squares);
  std::vector<float> out(sum_.size());
  for (std::size_t i = 0; i < out.size() && length > 0; ++i) {
    out[i] = static_cast<float>(sum_[i] / length);
  }
  return out;
}

} // namespace ovir::compute
