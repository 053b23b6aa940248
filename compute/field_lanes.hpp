#pragma once

#include <cstdint>

// How such registers are passed between files does not matter: every function with them is inlined
// or has internal linkage.
#if defined(__GNUC__)
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

namespace ovir::compute {

/// Eight lanes of 64 bits: one register of the widest set, two or four of the others.
using eight = std::int64_t __attribute__((vector_size(64)));

} // namespace ovir::compute
