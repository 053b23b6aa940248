#include "compute/base/kernels_ask.hpp"

#if defined(__x86_64__)

#include <cpuid.h>

namespace ovir::compute::x86 {

namespace {

constexpr std::uint32_t zen_3_and_4 = 0x19;
constexpr std::uint32_t zen_5 = 0x1A;
constexpr std::uint32_t p6 = 6; ///< the family of all of Intel's since
constexpr std::uint32_t sapphire_rapids = 0x8F;
constexpr std::uint32_t emerald_rapids = 0xCF;

// The first four letters of CPUID's name, in EBX.
constexpr unsigned authentic_amd = 0x68747541;
constexpr unsigned genuine_intel = 0x756E6547;

processor this_processor() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  processor found{maker::other, 0, 0};
  if (__get_cpuid(0, &a, &b, &c, &d) == 0) {
    return found;
  }
  if (b == authentic_amd) {
    found.made_by = maker::amd;
  } else if (b == genuine_intel) {
    found.made_by = maker::intel;
  }
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) {
    return found;
  }
  constexpr std::uint32_t extended = 15; // beyond which families continue in another field
  const std::uint32_t base = a >> 8U & 15U;
  found.family = base == extended ? base + (a >> 20U & 255U) : base;
  found.model = a >> 4U & 15U;
  if (base == extended || base == p6) {
    found.model |= a >> 12U & 0xF0U;
  }
  return found;
}

/// Zen 3, of the family that Zen 4 belongs to: models 00h to 0Fh and 20h to 5Fh.
bool is_zen_3(const processor& p) noexcept {
  constexpr std::uint32_t servers_end = 0x10;
  constexpr std::uint32_t clients = 0x20;
  constexpr std::uint32_t clients_end = 0x60;
  return p.family == zen_3_and_4 &&
         (p.model < servers_end || (p.model >= clients && p.model < clients_end));
}

} // namespace

// Measured (docs/PERFORMANCE.md, docs/adr/0002-kernels.md), the weights being packed:
// - Zen 5 reads them for one token at 0.42 to 0.92 of the speed of plain reading and beyond it when
//   asked; the second-level cache is 0.77 to 0.94 times as fast as the first.
// - Zen 4 reads them at that speed for one token and lost 10 to 40 %, but in spells of one virtual
//   processor in which asking gives 1.5 times (docs/performance/zen-4.md, floats); for two at 0.75
//   of it and at 0.86 when asked; with 8 tokens the second-level cache is 1.5 times as fast as the
//   first, for floats with two and three 1.7 times.
// - Zen 3 reads them for one token at 0.53 to 0.6 of that speed and at 0.69 to 0.78 when asked;
//   Q8_0, Q4_0 and Q6_K are 1.03 to 1.19 times as fast when asked 1 KiB ahead instead of 8, so is
//   F16 (1.07 to 1.14); other types, and all with more tokens, are slower. Zen 5 loses by it.
// - Emerald Rapids reads them for one token at 0.62 of that speed, at 0.80 when asked for the first
//   level and at 0.84 for the second. Sapphire Rapids has the same cores and caches and
//   was not measured, like all others.
ask_policy asks_of(const processor& p) noexcept {
  constexpr ask_policy unknown{ask_tokens_self_reading, ask_into::first_level,
                               ask_into::first_level};
  if (p.made_by == maker::amd) {
    if (p.family >= zen_5) {
      return {1, ask_into::first_level, ask_into::first_level};
    }
    if (is_zen_3(p)) {
      return {1, ask_into::first_level, ask_into::first_level, true};
    }
    return p.family == zen_3_and_4 ? ask_policy{2, ask_into::second_level, ask_into::second_level}
                                   : unknown;
  }
  if (p.made_by == maker::intel && p.family == p6 &&
      (p.model == sapphire_rapids || p.model == emerald_rapids)) {
    return {1, ask_into::second_level, ask_into::second_level};
  }
  return unknown;
}

ask_policy asks_here() noexcept { return asks_of(this_processor()); }

// Measured on Zen 5, which has two multipliers of 512 bits (docs/performance/zen-5.md). Zen 4 has
// one, and others were not measured.
bool prefers_long_tiles(const processor& p) noexcept {
  return p.made_by == maker::amd && p.family >= zen_5;
}

bool prefers_long_tiles_here() noexcept { return prefers_long_tiles(this_processor()); }

} // namespace ovir::compute::x86

#endif
