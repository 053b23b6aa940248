#include "compute/field_sums_loops.hpp"

namespace ovir::compute {

#if defined(__x86_64__)
const field_sums* field_sums_avx512() noexcept { return &these_sums; }
#else
const field_sums* field_sums_avx512() noexcept { return nullptr; }
#endif

} // namespace ovir::compute
