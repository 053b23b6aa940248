#pragma once

#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

/// How command lines say what a join token or an invitation gives.
namespace ovir::apps {

/// "worker,scheduler".
[[nodiscard]] result<role_set> roles_from(std::string_view text);
/// "90s", "30m", "24h", "7d", at most limits::token_lifetime_max.
[[nodiscard]] result<std::chrono::seconds> lifetime_from(std::string_view text);
/// "90 s", "30 min", "24 h", "7 days".
[[nodiscard]] std::string span_text(std::uint64_t seconds);

} // namespace ovir::apps
