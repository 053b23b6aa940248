#include "compute/kernels_ask.hpp"

#if defined(__x86_64__)

#include <cpuid.h>

namespace ovir::compute::x86 {

namespace {

constexpr std::uint32_t zen_4 = 0x19; ///< and Zen 3
constexpr std::uint32_t zen_5 = 0x1A;
constexpr unsigned authentic_amd = 0x68747541; // "Auth", the first four letters in EBX

struct processor {
  bool amd{false};
  std::uint32_t family{0};
};

processor this_processor() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  processor found;
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) {
    return found;
  }
  const bool amd = b == authentic_amd;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) {
    return found;
  }
  constexpr std::uint32_t extended = 15; // beyond which families continue in another field
  const std::uint32_t base = a >> 8U & 15U;
  found.amd = amd;
  found.family = base == extended ? base + (a >> 20U & 255U) : base;
  return found;
}

} // namespace

// Measured (docs/PERFORMANCE.md): Zen 5 reads packed weights for one token at 0.42 to 0.92 of the
// speed of plain reading and beyond it when asked; Zen 4 reads at that speed for one token and lost
// 10 to 40 %, for two it reads at 0.75 of it and at 0.86 when asked. Others were not measured.
std::uint32_t asks_from(bool amd, std::uint32_t family) noexcept {
  if (!amd || family < zen_4) {
    return ask_tokens_self_reading;
  }
  return family >= zen_5 ? 1 : 2;
}

// Measured with 8 tokens (docs/PERFORMANCE.md): on Zen 4 asking for the second-level cache is 1.5
// times as fast as for the first, on Zen 5 0.77 to 0.94 times. Others were not measured.
bool asks_near(bool amd, std::uint32_t family) noexcept { return !(amd && family == zen_4); }

std::uint32_t asks_from_here() noexcept {
  const processor here = this_processor();
  return asks_from(here.amd, here.family);
}

bool asks_near_here() noexcept {
  const processor here = this_processor();
  return asks_near(here.amd, here.family);
}

} // namespace ovir::compute::x86

#endif
