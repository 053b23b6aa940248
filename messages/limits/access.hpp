#pragma once

#include "messages/limits/gateway.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of who may ask a gateway, and of what it remembers of that.
namespace ovir::limits {

// Names beside addresses that a listener without keys is called by
inline constexpr std::size_t http_hosts_max = 16;
inline constexpr std::size_t http_host_bytes_max = 253; // of a DNS name

// What API keys spent, on disk: a line for each key
inline constexpr std::size_t api_spend_line_bytes_max = 96;
inline constexpr std::size_t api_spend_file_bytes_max =
    256 + api_keys_max * api_spend_line_bytes_max;
inline constexpr std::uint64_t api_spend_ahead = 64; // a 64th of a quota is written ahead
inline constexpr std::chrono::milliseconds api_spend_pause{1'000}; // between exact counts

} // namespace ovir::limits
