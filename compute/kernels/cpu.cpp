#include "compute/kernels/kernels.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace ovir::compute {

namespace {

const kernel_set* set_of(isa id) noexcept {
  switch (id) {
  case isa::reference: return &kernels_reference();
  case isa::avx2: return kernels_avx2();
  case isa::avx512: return kernels_avx512();
  }
  return nullptr;
}

std::string_view name_of(isa id) noexcept {
  switch (id) {
  case isa::reference: return "reference";
  case isa::avx2: return "avx2";
  case isa::avx512: return "avx512";
  }
  return "";
}

#if defined(__x86_64__)
/// Clang 14 has no name for F16C in __builtin_cpu_supports.
bool has_f16c() noexcept {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

bool is_usable(isa id) noexcept { return set_of(id) != nullptr && processor_has(id); }

} // namespace

bool processor_has(isa id) noexcept {
  if (id == isa::reference) {
    return true;
  }
#if defined(__x86_64__)
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
#else
  return false;
#endif
}

result<isa> isa_from(std::string_view name) {
  for (const isa id : {isa::reference, isa::avx2, isa::avx512}) {
    if (name == name_of(id)) {
      return id;
    }
  }
  return fail(errc::invalid_argument,
              "no instruction set is called '{}'; use reference, avx2 or avx512", name);
}

result<const kernel_set*> select_kernels(std::optional<isa> wanted) {
  if (wanted.has_value()) {
    if (!is_usable(*wanted)) {
      return fail(errc::unsupported, "this processor or build has no {} kernels; use reference",
                  name_of(*wanted));
    }
    return set_of(*wanted);
  }
  for (const isa id : {isa::avx512, isa::avx2}) {
    if (is_usable(id)) {
      return set_of(id);
    }
  }
  return &kernels_reference();
}

} // namespace ovir::compute
