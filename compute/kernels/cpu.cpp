#include "compute/kernels/kernels.hpp"

#include <algorithm>

#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace ovir::compute {

namespace {

constexpr std::array all_isas{isa::reference, isa::avx2,    isa::avx512,
                              isa::neon,      isa::dotprod, isa::i8mm};

#if defined(__x86_64__)
/// Clang 14 has no name for F16C in __builtin_cpu_supports.
bool has_f16c() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

bool has_instructions(isa id) noexcept {
  if (id != isa::avx2 && id != isa::avx512) {
    return false;
  }
  __builtin_cpu_init();
  // These ask the operating system's register state too, not only CPUID.
  const bool has_avx2 =
      __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && has_f16c();
  if (id == isa::avx2) {
    return has_avx2;
  }
  return has_avx2 && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0 && __builtin_cpu_supports("avx512vnni") != 0;
}
#elif defined(__aarch64__) && defined(__linux__)
bool has_instructions(isa id) noexcept {
  const unsigned long first = ::getauxval(AT_HWCAP);
  const unsigned long second = ::getauxval(AT_HWCAP2);
  const bool has_neon = (first & HWCAP_ASIMD) != 0;
  const bool has_dotprod = has_neon && (first & HWCAP_ASIMDDP) != 0;
  switch (id) {
  case isa::neon: return has_neon;
  case isa::dotprod: return has_dotprod;
  case isa::i8mm: return has_dotprod && (second & HWCAP2_I8MM) != 0;
  default: return false;
  }
}
#else
bool has_instructions(isa /*id*/) noexcept { return false; }
#endif

bool is_usable(isa id) noexcept { return kernels_of(id) != nullptr && processor_has(id); }

} // namespace

const kernel_set* kernels_of(isa id) noexcept {
  switch (id) {
  case isa::reference: return &kernels_reference();
  case isa::avx2: return kernels_avx2();
  case isa::avx512: return kernels_avx512();
  case isa::neon:
  case isa::dotprod:
  case isa::i8mm: return kernels_arm(id);
  }
  return nullptr;
}

std::string_view name_of(isa id) noexcept {
  switch (id) {
  case isa::reference: return "reference";
  case isa::avx2: return "avx2";
  case isa::avx512: return "avx512";
  case isa::neon: return "neon";
  case isa::dotprod: return "dotprod";
  case isa::i8mm: return "i8mm";
  }
  return "";
}

bool processor_has(isa id) noexcept { return id == isa::reference || has_instructions(id); }

std::vector<const kernel_set*> fast_kernels_here() {
  std::vector<const kernel_set*> sets;
  for (const isa id : fast_isas) {
    if (is_usable(id)) {
      sets.push_back(kernels_of(id));
    }
  }
  return sets;
}

result<isa> isa_from(std::string_view name) {
  const auto* const found =
      std::find_if(all_isas.begin(), all_isas.end(), [&](isa id) { return name == name_of(id); });
  if (found == all_isas.end()) {
    return fail(errc::invalid_argument,
                "no instruction set is called '{}'; use reference, avx2, avx512, neon, dotprod or "
                "i8mm",
                name);
  }
  return *found;
}

result<const kernel_set*> select_kernels(std::optional<isa> wanted) {
  if (wanted.has_value()) {
    if (!is_usable(*wanted)) {
      return fail(errc::unsupported, "this processor or build has no {} kernels; use reference",
                  name_of(*wanted));
    }
    return kernels_of(*wanted);
  }
  for (const isa id : fast_isas) {
    if (is_usable(id)) {
      return kernels_of(id);
    }
  }
  return &kernels_reference();
}

} // namespace ovir::compute
