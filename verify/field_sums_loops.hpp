#pragma once

#include "verify/field_lanes.hpp"
#include "verify/field_sums.hpp"

#include <algorithm>
#include <cstring>

/// The loops, for each set's own file: what is in no named namespace cannot be taken for another
/// instruction set's by the linker. Sums wrap rather than overflow, as what a stranger reveals may
/// be anything. A file defines before how its set multiplies and compares: `times`,
/// `times_natural`, `rows_together`, `watch` and `outside`.
namespace ovir::compute {

namespace {

/// How far ahead of itself a row is asked for. Rows are pages apart, so nobody else asks early.
constexpr std::size_t columns_ahead = 64;
/// So that their sums stay in the first cache.
constexpr std::size_t columns_at_once = 1'024;

template <bool Rounds>
inline void round_eight(eight sum, float power, float* to) {
  if constexpr (Rounds) { // a direct conversion: through double it rounds twice
    const eight_floats once = __builtin_convertvector(sum, eight_floats) * power;
    std::memcpy(to, &once, sizeof(once));
  }
}

/// `Rows` tokens beginning with `first`, columns [from, to), added to their sums. False where some
/// |S| is above its bound.
template <std::size_t Rows, bool Rounds>
bool add_rows(const sums_task& task, std::size_t first, std::size_t from, std::size_t to,
              std::int64_t* low, std::int64_t* high) {
  const eight mask = all_of((std::int64_t{1} << sum_split_bits) - 1);
  const std::int64_t* const s = task.s + first * task.stride;
  float* const rounded = Rounds ? task.rounded + first * task.stride : nullptr;
  const std::size_t stride = task.stride;
  eight weights[Rows];
  float powers[Rows];
  for (std::size_t r = 0; r < Rows; ++r) {
    weights[r] = all_of(task.weights[first + r]);
    powers[r] = Rounds ? task.powers[first + r] : 0;
  }
  eight wrong = {};
  const auto weigh = [&](const eight* sums, eight bound, eight& lows, eight& highs) {
    eight below = {};
    eight above = {};
    eight seen = {};
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      seen = watch(seen, sums[r], bound);
      below += times_natural(sums[r], weights[r]);
      above += times(shifted_down(sums[r], sum_split_bits), weights[r]);
    }
    wrong |= outside(seen, bound);
    lows += below & mask;
    highs += above + shifted_down(below, sum_split_bits);
  };
  std::size_t i = from;
  for (; i + 8 <= to; i += 8) {
    eight sums[Rows];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r) {
      const std::int64_t* const at = s + r * stride + i;
      __builtin_prefetch(at + columns_ahead);
      sums[r] = load(at);
      round_eight<Rounds>(sums[r], powers[r], Rounds ? rounded + r * stride + i : nullptr);
    }
    eight lows = load(low + (i - from));
    eight highs = load(high + (i - from));
    weigh(sums, load(task.bounds + i), lows, highs);
    store(low + (i - from), lows);
    store(high + (i - from), highs);
  }
  if (i < to) { // the last columns, beside zeros
    const std::size_t bytes = (to - i) * sizeof(std::int64_t);
    eight sums[Rows] = {};
    eight bound = {};
    for (std::size_t r = 0; r < Rows; ++r) {
      std::memcpy(&sums[r], s + r * stride + i, bytes);
      float once[8];
      round_eight<Rounds>(sums[r], powers[r], once);
      if constexpr (Rounds) {
        std::memcpy(rounded + r * stride + i, once, bytes / 2);
      }
    }
    std::memcpy(&bound, task.bounds + i, bytes);
    eight lows = load(low + (i - from)); // sums are padded to eight
    eight highs = load(high + (i - from));
    weigh(sums, bound, lows, highs);
    store(low + (i - from), lows);
    store(high + (i - from), highs);
  }
  std::int64_t any = 0;
  for (std::size_t lane = 0; lane < 8; ++lane) {
    any |= wrong[lane];
  }
  return any >= 0;
}

template <bool Rounds>
bool add_all(const sums_task& task, std::int64_t* total) {
  alignas(64) std::int64_t low[columns_at_once];
  alignas(64) std::int64_t high[columns_at_once];
  bool inside = true;
  for (std::size_t from = 0; from < task.n; from += columns_at_once) {
    const std::size_t to = std::min(task.n, from + columns_at_once);
    std::memset(low, 0, sizeof(low));
    std::memset(high, 0, sizeof(high));
    std::size_t t = 0;
    for (; t + rows_together <= task.tokens; t += rows_together) {
      inside = add_rows<rows_together, Rounds>(task, t, from, to, low, high) && inside;
    }
    for (; t < task.tokens; ++t) {
      inside = add_rows<1, Rounds>(task, t, from, to, low, high) && inside;
    }
    // 2^61 = 1, so of high * 2^32 what is above the 29th bit of high is added at the bottom.
    constexpr unsigned kept = 61U - sum_split_bits;
    for (std::size_t i = 0; i < to - from; ++i) {
      total[from + i] = low[i] + ((high[i] & ((std::int64_t{1} << kept) - 1)) << sum_split_bits) +
                        (high[i] >> kept);
    }
  }
  return inside;
}

bool add_sums(const sums_task& task, std::int64_t* total) {
  return task.rounded == nullptr ? add_all<false>(task, total) : add_all<true>(task, total);
}

void round(const std::int64_t* s, std::size_t n, float power, float* y) {
  for (std::size_t i = 0; i < n; ++i) {
    y[i] = static_cast<float>(s[i]) * power; // a direct conversion: through double it rounds twice
  }
}

} // namespace

} // namespace ovir::compute
