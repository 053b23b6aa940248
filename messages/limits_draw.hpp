#pragma once

#include <cstddef>

namespace ovir::limits {

/// Logits of which a lead takes the highest where it stands: 15 microseconds for 64 KiB.
inline constexpr std::size_t draw_here_bytes_max = std::size_t{256} << 10U;

} // namespace ovir::limits
