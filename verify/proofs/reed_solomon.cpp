#include "verify/proofs/reed_solomon.hpp"

#include "messages/check.hpp"

#include <bit>

namespace ovir::proofs {

namespace {

/// (4 + i)^(p - 1), of the order 2^61: 4 + i is no square, because its norm 17 is none mod p.
constexpr element root_of_2_61{0x0969'6969'6969'696a, 0x05a5'a5a5'a5a5'a5a5};

/// `root_of_unity(4)` is i.
element times_root_of_4(element x) { return {base_subtract(0, x.im), x.re}; }

} // namespace

std::uint32_t code_length(std::uint32_t symbols) noexcept {
  return code_blowup * std::bit_ceil(symbols);
}

element root_of_unity(std::uint64_t order) noexcept {
  OVIR_CHECK(std::has_single_bit(order) && order <= std::uint64_t{1} << 61U, order);
  return power(root_of_2_61, (std::uint64_t{1} << 61U) / order);
}

std::vector<element> powers(element x, std::size_t count) {
  std::vector<element> all(count);
  element next = one;
  for (element& value : all) {
    value = next;
    next = next * x;
  }
  return all;
}

coset_transform::coset_transform(std::uint32_t symbols, std::uint32_t index) {
  OVIR_CHECK(index < code_blowup && symbols > 0, index, symbols);
  const std::uint32_t size = std::bit_ceil(symbols);
  shifts_ = powers(power(root_of_unity(code_length(symbols)), index), size);
  roots_ = powers(root_of_unity(size), size);
}

std::uint32_t coset_transform::order(std::uint32_t j) const noexcept {
  std::uint32_t reversed = 0;
  for (std::uint32_t bit = 1; bit < size(); bit <<= 1U) {
    reversed = reversed << 1U | (j & 1U);
    j >>= 1U;
  }
  return reversed;
}

void coset_transform::apply(std::span<element> values) const {
  OVIR_CHECK(values.size() == shifts_.size(), values.size(), shifts_.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = values[i] * shifts_[i];
  }
  // Decimation in frequency, two halvings at a time, so that the results stand in bit-reversed
  // order.
  std::size_t quarter = values.size() / 4;
  for (std::size_t stride = 1; quarter > 0; quarter /= 4, stride *= 4) {
    for (std::size_t first = 0; first < values.size(); first += 4 * quarter) {
      quarter_block(values.data() + first, quarter, stride);
    }
  }
  if (std::countr_zero(values.size()) % 2 == 1) {
    for (std::size_t i = 0; i < values.size(); i += 2) {
      const element low = values[i];
      values[i] = low + values[i + 1];
      values[i + 1] = low - values[i + 1];
    }
  }
}

void coset_transform::quarter_block(element* v, std::size_t quarter, std::size_t stride) const {
  element* const b = v + quarter;
  element* const c = v + 2 * quarter;
  element* const d = v + 3 * quarter;
  for (std::size_t i = 0; i < quarter; ++i) {
    const element even = v[i] + c[i];
    const element odd = b[i] + d[i];
    const element even_difference = v[i] - c[i];
    const element turned = times_root_of_4(b[i] - d[i]);
    v[i] = even + odd;
    if (i == 0) { // all of the last round's
      b[i] = even - odd;
      c[i] = even_difference + turned;
      d[i] = even_difference - turned;
    } else {
      b[i] = (even - odd) * roots_[2 * i * stride];
      c[i] = (even_difference + turned) * roots_[i * stride];
      d[i] = (even_difference - turned) * roots_[3 * i * stride];
    }
  }
}

} // namespace ovir::proofs
