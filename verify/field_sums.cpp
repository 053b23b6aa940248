#include "verify/field_sums.hpp"

#include "verify/field_lanes.hpp"

namespace ovir::compute {
namespace {

constexpr std::size_t rows_together = 4;

/// a * b of the signed low halves of each lane.
inline eight times(eight a, eight b) {
  using eight_halves = std::int32_t __attribute__((vector_size(32)));
  return __builtin_convertvector(__builtin_convertvector(a, eight_halves), eight) *
         __builtin_convertvector(__builtin_convertvector(b, eight_halves), eight);
}
/// a * b of the low halves of each lane, as numbers without a sign.
inline eight times_natural(eight a, eight b) {
  const eight low = all_of(0xffffffff);
  return reinterpret_cast<eight>(reinterpret_cast<eight_natural>(a & low) *
                                 reinterpret_cast<eight_natural>(b & low));
}
/// Gets a top bit where |sum| is above its bound: b - S or b + S is negative, also where it wraps.
inline eight watch(eight seen, eight sum, eight bound) {
  return seen | (bound - sum) | (bound + sum);
}
inline eight outside(eight seen, eight /*bound*/) { return seen; }

} // namespace
} // namespace ovir::compute

#include "compute/kernels/kernels.hpp"
#include "verify/field_inputs_loops.hpp"
#include "verify/field_sums_loops.hpp"

namespace ovir::compute {
namespace {

constexpr field_sums these_sums{add_sums, round, weigh_inputs};

const field_sums& best() noexcept {
  if (const field_sums* const wide = field_sums_avx512();
      wide != nullptr && processor_has(isa::avx512)) {
    return *wide;
  }
  if (const field_sums* const good = field_sums_avx2();
      good != nullptr && processor_has(isa::avx2)) {
    return *good;
  }
  return these_sums;
}

} // namespace

const field_sums& field_sums_plain() noexcept { return these_sums; }

const field_sums& field_sums_here() noexcept {
  static const field_sums& chosen = best(); // asking the processor takes longer than a check
  return chosen;
}

} // namespace ovir::compute
