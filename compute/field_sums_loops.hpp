#pragma once

#include "compute/field_sums.hpp"

#include <cstring>

/// The loops, for each set's own file: what is in no named namespace cannot be taken for another
/// instruction set's by the linker. Products wrap rather than overflow, as what a stranger reveals
/// may be anything. A file includes its set's `lanes_*` before.
namespace ovir::compute {

namespace {

/// Rows read side by side, so that their sums are loaded and stored once for all of them.
constexpr std::size_t rows_together = 4;

inline eight load(const void* from) {
  eight v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
inline void store(std::int64_t* to, eight v) { std::memcpy(to, &v, sizeof(v)); }
inline eight all_of(std::int64_t x) { return eight{x, x, x, x, x, x, x, x}; }

/// Eight columns of `Rows` rows of S, added to their sums. `outside` gets a top bit where some |S|
/// is above its bound b: b - S or b + S is negative, also where it wraps.
template <std::size_t Rows>
inline void add_eight(const std::int64_t* s, std::size_t stride, const eight& bound,
                      const std::int64_t* weights, eight& low, eight& high, eight& outside) {
  const eight mask = all_of((std::int64_t{1} << sum_split_bits) - 1);
  for (std::size_t r = 0; r < Rows; ++r) {
    const eight sum = load(s + r * stride);
    const eight weight = all_of(weights[r]);
    outside |= (bound - sum) | (bound + sum);
    low += times(sum & mask, weight);
    high += times(sum >> sum_split_bits, weight);
  }
}

template <std::size_t Rows>
bool add_rows(const std::int64_t* s, std::size_t stride, const std::uint64_t* bounds, std::size_t n,
              const std::int64_t* weights, std::int64_t* low, std::int64_t* high) {
  eight outside = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t r = 0; r < Rows; ++r) { // the rows after these: what is read begins anew there
      __builtin_prefetch(s + (Rows + r) * stride + i);
    }
    eight lows = load(low + i);
    eight highs = load(high + i);
    add_eight<Rows>(s + i, stride, load(bounds + i), weights, lows, highs, outside);
    store(low + i, lows);
    store(high + i, highs);
  }
  if (i < n) { // the last columns, beside zeros
    const std::size_t bytes = (n - i) * sizeof(std::int64_t);
    std::int64_t rows[Rows * 8] = {};
    eight bound = {};
    eight lows = {};
    eight highs = {};
    for (std::size_t r = 0; r < Rows; ++r) {
      std::memcpy(rows + r * 8, s + r * stride + i, bytes);
    }
    std::memcpy(&bound, bounds + i, bytes);
    std::memcpy(&lows, low + i, bytes);
    std::memcpy(&highs, high + i, bytes);
    add_eight<Rows>(rows, 8, bound, weights, lows, highs, outside);
    std::memcpy(low + i, &lows, bytes);
    std::memcpy(high + i, &highs, bytes);
  }
  std::int64_t any = 0;
  for (std::size_t lane = 0; lane < 8; ++lane) {
    any |= outside[lane];
  }
  return any >= 0;
}

bool add_sums(const std::int64_t* s, std::size_t stride, std::size_t tokens,
              const std::uint64_t* bounds, std::size_t n, const std::int64_t* weights,
              std::int64_t* low, std::int64_t* high) {
  bool inside = true;
  std::size_t t = 0;
  for (; t + rows_together <= tokens; t += rows_together) {
    inside = add_rows<rows_together>(s + t * stride, stride, bounds, n, weights + t, low, high) &&
             inside;
  }
  for (; t < tokens; ++t) {
    inside = add_rows<1>(s + t * stride, stride, bounds, n, weights + t, low, high) && inside;
  }
  return inside;
}

void join(std::int64_t* low, const std::int64_t* high, std::size_t n) {
  // 2^61 = 1, so of high * 2^30 what is above the 31st bit of high is added at the bottom.
  constexpr std::int64_t below = (std::int64_t{1} << (61U - sum_split_bits)) - 1;
  for (std::size_t i = 0; i < n; ++i) {
    low[i] += ((high[i] & below) << sum_split_bits) + (high[i] >> (61U - sum_split_bits));
  }
}

void weigh_inputs(const std::int8_t* q, const std::int32_t* scales, std::size_t n,
                  std::size_t tokens, const std::int64_t* weights, std::int64_t* out) {
  using eight_bytes = std::int8_t __attribute__((vector_size(8)));
  for (std::size_t block = 0; block < n / 32; ++block) {
    eight totals[4] = {};
    for (std::size_t t = 0; t < tokens; ++t) {
      const eight scale = all_of(scales[t * (n / 32) + block]);
      const eight weight = all_of(weights[t]);
      for (std::size_t part = 0; part < 4; ++part) {
        eight_bytes bytes;
        std::memcpy(&bytes, q + t * n + block * 32 + part * 8, sizeof(bytes));
        // Of 7 and 18 bits, so that the first product has 32, too.
        totals[part] += times(times(__builtin_convertvector(bytes, eight), scale), weight);
      }
    }
    std::memcpy(out + block * 32, totals, sizeof(totals));
  }
}

void round(const std::int64_t* s, std::size_t n, float power, float* y) {
  for (std::size_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(s[i]) * power; // a direct conversion: through double it rounds twice
  }
}

constexpr field_sums these_sums{add_sums, join, round, weigh_inputs};

} // namespace

} // namespace ovir::compute
