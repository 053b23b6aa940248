#pragma once

#include <cstddef>
#include <span>

namespace ovir {

/// Fills from libsodium's generator: for what others must not guess. May be called by several
/// threads at once.
void fill_secret(std::span<std::byte> out);

} // namespace ovir
