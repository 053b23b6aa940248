#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace ovir {

/// The key that BLAKE3 derives from a domain (`hasher`'s), as words: where an implementation
/// elsewhere, as on a device, begins.
[[nodiscard]] std::array<std::uint32_t, 8> domain_key(std::string_view domain);

} // namespace ovir
