#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of keepers that keep one ledger together.
namespace ovir::limits {

/// How far the time of an order may be from that of a keeper which agrees to it.
inline constexpr std::uint64_t keepers_clock_off_s_max = 30;
/// Heads of one's own that wait for the signatures of others.
inline constexpr std::size_t keepers_open_heads_max = 64;
/// How often a keeper repeats what it signed, until most have, and asks for entries that it lacks.
inline constexpr std::chrono::milliseconds keepers_sign_again{200};
inline constexpr std::chrono::milliseconds keepers_ask_again{500};

} // namespace ovir::limits
