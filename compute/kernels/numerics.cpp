#include "compute/kernels/numerics.hpp"

#include "compute/kernels/numerics_vectors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace ovir::compute {

namespace {

#if defined(__x86_64__)

constexpr unsigned mxcsr_denormals_are_zero = 1U << 6U;
constexpr unsigned mxcsr_rounding = 3U << 13U; // 0: nearest even
constexpr unsigned mxcsr_flush_to_zero = 1U << 15U;

bool environment_is_exact() noexcept {
  return (_mm_getcsr() & (mxcsr_denormals_are_zero | mxcsr_rounding | mxcsr_flush_to_zero)) == 0;
}

#else

bool environment_is_exact() noexcept {
  // Volatile, so that these are computed now and not by the compiler.
  volatile float one = 1.0F;
  volatile float half_step = 0x1p-24F;
  volatile float least_normal = 0x1p-126F;
  volatile float least = 0x1p-149F;
  const bool ties_to_even = one + half_step == 1.0F && one + 3 * half_step == 1.0F + 0x1p-22F &&
                            -one - half_step == -1.0F;
  const bool keeps_subnormals = least_normal * 0.5F != 0 && least * 0x1p+100F != 0;
  return ties_to_even && keeps_subnormals;
}

#endif

void put(hasher& h, const vector_outputs& outputs) {
  for (std::size_t i = 0; i < outputs.stretches.size(); ++i) {
    const std::size_t first = outputs.stretches[i].first;
    const std::size_t last =
        i + 1 < outputs.stretches.size() ? outputs.stretches[i + 1].first : outputs.words.size();
    h.update_text(outputs.stretches[i].operation).update_u64(last - first);
    h.update(std::as_bytes(std::span{outputs.words}.subspan(first, last - first)));
  }
}

/// Names the first output that differs.
result<void> compare(std::string_view who, const vector_outputs& want, const vector_outputs& got) {
  for (std::size_t i = 0; i < want.stretches.size(); ++i) {
    const std::size_t first = want.stretches[i].first;
    const std::size_t last =
        i + 1 < want.stretches.size() ? want.stretches[i + 1].first : want.words.size();
    for (std::size_t w = first; w < last; ++w) {
      // The outputs part only where a kernel changed how many words it puts out.
      if (w >= got.words.size() || got.words[w] != want.words[w]) {
        return fail(errc::self_test_failed,
                    "{} differ from the reference in {}, output {}: {:#010x} instead of "
                    "{:#010x}; run with OVIR_ISA=reference and report this processor",
                    who, want.stretches[i].operation, w - first,
                    w < got.words.size() ? got.words[w] : 0U, want.words[w]);
      }
    }
  }
  return {};
}

} // namespace

bool rounding_is_exact() noexcept { return environment_is_exact(); }

result<void> self_test(const kernel_set& chosen) {
  if (!rounding_is_exact()) {
    return fail(errc::self_test_failed,
                "this thread does not round to nearest even with subnormals kept, so results would "
                "not be exact-1; find the library that changed the floating-point mode");
  }
  const vector_outputs want = run_kernel_vectors(kernels_reference());
  OVIR_TRY(compare(fmt::format("{} kernels", chosen.name), want, run_kernel_vectors(chosen)));
  return compare(fmt::format("{} kernels with packed weights", chosen.name), want,
                 run_kernel_vectors(chosen, weights_as::panels));
}

digest profile_digest() {
  hasher h{"ovir/exact-1/vectors"};
  put(h, run_function_vectors());
  put(h, run_kernel_vectors(kernels_reference()));
  return h.finish();
}

} // namespace ovir::compute
