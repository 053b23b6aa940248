#pragma once

#include <cstddef>

/// Counts what `operator new` hands out, in programs that link it (the property tier). The
/// program's own operators replace the library's, so every allocation of the code under test is
/// seen.
namespace ovir::test {

/// Bytes allocated and not freed now.
[[nodiscard]] std::size_t allocated_bytes() noexcept;
/// The most there ever were since the last `reset_allocation_peak`.
[[nodiscard]] std::size_t allocation_peak() noexcept;
void reset_allocation_peak() noexcept;

} // namespace ovir::test
