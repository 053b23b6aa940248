#pragma once

#include "messages/limits/nat.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of hole punching over UDP (actors/nat/hole_punch.hpp): how much a node sends because
/// others named an address, and how long it waits for what comes of it.
namespace ovir::limits {

inline constexpr std::size_t punch_datagram_bytes = 21; // each, at all times

// What a node sends
inline constexpr std::chrono::milliseconds punch_every{100}; // to each address of a meeting
inline constexpr std::size_t punch_datagrams_max = 24;       // for one meeting, to all addresses
/// Addresses that were named, and those that the other end was heard from.
inline constexpr std::size_t punch_addresses_max = nat_addresses_max + 2;
inline constexpr std::uint32_t punch_burst = 192; // for all meetings of a node
inline constexpr std::uint32_t punch_refill = 64; // each second
inline constexpr std::size_t probe_datagrams_max = 3;
inline constexpr std::chrono::milliseconds probe_wait{250}; // for what the helper saw of them

// How long QUIC is waited for. The meeting as a whole has the bounds of one over TCP, and a TCP
// connection that opens meanwhile is kept.
inline constexpr std::chrono::milliseconds punch_head_start{700};  // to hear the other end
inline constexpr std::chrono::milliseconds punch_link_wait{1'500}; // for the link, then
static_assert(punch_head_start < meet_dial_wait);
static_assert(punch_head_start + punch_link_wait < relay_admission_wait);

// What a node takes from anyone
inline constexpr std::uint32_t punch_heard_burst = 256;
inline constexpr std::uint32_t punch_heard_refill = 128; // each second

} // namespace ovir::limits
