#include "compute/kernels_ask.hpp"

#if defined(__x86_64__)

#include <cpuid.h>

namespace ovir::compute::x86 {

namespace {

constexpr std::uint32_t zen_5 = 0x1A;
constexpr unsigned authentic_amd = 0x68747541; // "Auth", the first four letters in EBX

} // namespace

// Measured (docs/PERFORMANCE.md): Zen 5 reads packed weights for one token at 0.42 to 0.92 of the
// speed of plain reading and beyond it when asked; Zen 4 reads at that speed and lost 10 to 40 %.
// Others were not measured.
std::uint32_t asks_from(bool amd, std::uint32_t family) noexcept {
  return amd && family >= zen_5 ? 1 : ask_tokens_self_reading;
}

std::uint32_t asks_from_here() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) {
    return ask_tokens_self_reading;
  }
  const bool amd = b == authentic_amd;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) {
    return ask_tokens_self_reading;
  }
  constexpr std::uint32_t extended = 15; // beyond which families continue in another field
  const std::uint32_t base = a >> 8U & 15U;
  return asks_from(amd, base == extended ? base + (a >> 20U & 255U) : base);
}

} // namespace ovir::compute::x86

#endif
