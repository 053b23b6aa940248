#include "compute/field_sums.hpp"

#include "compute/field_sums_loops.hpp"
#include "compute/kernels.hpp"

namespace ovir::compute {

const field_sums& field_sums_plain() noexcept { return these_sums; }

const field_sums& field_sums_here() noexcept {
  if (const field_sums* const best = field_sums_avx512();
      best != nullptr && processor_has(isa::avx512)) {
    return *best;
  }
  if (const field_sums* const good = field_sums_avx2();
      good != nullptr && processor_has(isa::avx2)) {
    return *good;
  }
  return these_sums;
}

} // namespace ovir::compute
