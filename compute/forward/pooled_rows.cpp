#include "compute/forward/pooled_rows.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace ovir::compute {

namespace {

// Elements are sums of binary32, so their squares stay far below what binary64 holds.
template <class Number>
std::vector<float> of_length_one(std::span<const Number> all) {
  double squares = 0;
  for (const double x : all) {
    squares += x * x;
  }
  const double length = std::sqrt(squares);
  std::vector<float> out(all.size());
  for (std::size_t i = 0; i < out.size() && length > 0; ++i) {
    out[i] = static_cast<float>(static_cast<double>(all[i]) / length);
  }
  return out;
}

} // namespace

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
  return of_length_one(std::span{sum_});
}

std::vector<float> shortened(std::span<const float> vector, std::size_t dimensions) {
  OVIR_CHECK(dimensions > 0 && dimensions <= vector.size(), dimensions, vector.size());
  return of_length_one(vector.first(dimensions));
}

} // namespace ovir::compute
