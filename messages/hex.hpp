#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ovir {

/// Two lower-case hexadecimal digits for each byte.
[[nodiscard]] std::string to_hex(std::span<const std::byte> bytes);

/// Inverse of `to_hex`; anything else, or more than `bytes_max` bytes, is `malformed`, said of
/// `what` ("a payment").
[[nodiscard]] result<std::vector<std::byte>>
bytes_from_hex(std::string_view text, std::string_view what, std::size_t bytes_max);

} // namespace ovir
