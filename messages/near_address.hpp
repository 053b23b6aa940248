#pragma once

#include "messages/address_prefix.hpp"

namespace ovir {

/// This machine, or an address of a network of one's own, where nothing is lost and little delayed:
/// private, link-local and unique local addresses (RFC 1918, 3927, 4193, 4291).
[[nodiscard]] bool is_near(const address_prefix& prefix) noexcept;

} // namespace ovir
