#pragma once

#include <cstdint>
#include <cstring>

// How such registers are passed between files does not matter: every function with them is inlined
// or has internal linkage.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace ovir::compute {

/// Eight lanes of 64 bits: one register of the widest set, two or four of the others.
using eight = std::int64_t __attribute__((vector_size(64)));
using eight_natural = std::uint64_t __attribute__((vector_size(64)));
using eight_floats = float __attribute__((vector_size(32)));

namespace {

inline eight load(const void* from) {
  eight v;
  std::memcpy(&v, from, sizeof(v));
  return v;
}
inline void store(std::int64_t* to, eight v) { std::memcpy(to, &v, sizeof(v)); }
inline eight all_of(std::int64_t x) { return eight{x, x, x, x, x, x, x, x}; }
/// Not the sign's copies but zeros come in from above: what every set has an instruction for.
inline eight shifted_down(eight v, unsigned bits) {
  return reinterpret_cast<eight>(reinterpret_cast<eight_natural>(v) >> bits);
}

} // namespace

} // namespace ovir::compute
