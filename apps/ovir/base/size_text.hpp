#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <string_view>

namespace ovir::apps {

/// "20G" in bytes; K, M, G and T are powers of 1024. `invalid_argument` for anything else.
[[nodiscard]] result<std::uint64_t> bytes_from(std::string_view text);

} // namespace ovir::apps
