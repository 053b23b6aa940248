// `actors/link/link_format.cpp` of the next version of the link protocol: the same text with
// another number. The linker takes it instead of the one in the library (tests/CMakeLists.txt), so
// that there is a program for tests that differs from `ovir` in this alone.
#include "actors/link/link_format.hpp"

namespace ovir::actors {
inline constexpr std::uint16_t next_link_version = link_version + 1;
} // namespace ovir::actors

// It takes the other's place. NOLINTNEXTLINE(readability-identifier-naming)
#define link_version next_link_version
#include "actors/link/link_format.cpp"
