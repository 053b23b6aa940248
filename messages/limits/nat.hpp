#pragma once

#include "messages/limits/general.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of links through NAT (actors/nat): what helpers do for members, what relays carry, and
/// how long a node tries.
namespace ovir::limits {

// A message between a member and its helper
inline constexpr std::size_t nat_stream_piece_bytes_max = 64U << 10U; // of a stream, in one message
inline constexpr std::size_t nat_message_bytes_max = nat_stream_piece_bytes_max + 1'024;
inline constexpr std::size_t nat_addresses_max = 4; // of a node, in one message

// The channel between them
inline constexpr std::size_t relay_send_bytes_max = 72U << 20U;
inline constexpr std::size_t relay_receive_bytes_max = 4U << 20U;

// What a helper does
inline constexpr std::size_t helper_guests_max = 128;        // connections in all
inline constexpr std::size_t helper_guests_per_key_max = 24; // of one key
inline constexpr std::uint32_t helper_asks_burst = 64;  // questions and meetings of a connection
inline constexpr std::uint32_t helper_asks_refill = 16; // each second
inline constexpr std::size_t helper_meetings_max = 256; // under way
inline constexpr std::chrono::seconds helper_meeting_lifetime{5};
inline constexpr std::chrono::seconds helper_look_every{2}; // at who is a member still
inline constexpr std::chrono::seconds helper_idle_max{60}; // of a guest that asks and has no stream

// What a relay carries
inline constexpr std::size_t relay_streams_max = 256;
inline constexpr std::size_t relay_streams_by_key_max = 48; // that one key opened
inline constexpr std::size_t relay_streams_to_key_max = 80; // that lead to one key
inline constexpr std::size_t relay_streams_of_pair_max = 8; // from one key to one other
/// Bytes that a sender may be ahead of what the receiver has signed.
inline constexpr std::uint64_t relay_window_bytes = 512U << 10U;
/// The receiver signs again when so many more have come.
inline constexpr std::uint64_t relay_count_bytes = relay_window_bytes / 4;
inline constexpr std::uint64_t relay_key_bytes_per_second = 4U << 20U; // that one key sends
inline constexpr std::uint64_t relay_key_bytes_burst = 8U << 20U;
inline constexpr std::uint64_t relay_key_bytes_max = std::uint64_t{64} << 30U; // in a period
inline constexpr std::chrono::hours relay_period{24};
inline constexpr std::size_t relay_keys_max = 4'096; // whose use is remembered
inline constexpr std::size_t relay_bills_max = 1'024;
inline constexpr std::chrono::seconds relay_taken_wait{3}; // for the other end to take a stream
static_assert((relay_streams_by_key_max + relay_streams_to_key_max) * relay_window_bytes <=
                  relay_send_bytes_max,
              "what may be on its way to one node waits in its connection");

/// What is added to the round trip of a relayed link where it is told for planning: a step's
/// boundary of 8 KiB there and back at `relay_key_bytes_per_second`.
inline constexpr std::chrono::microseconds relay_toll{4'000};
inline constexpr std::chrono::microseconds no_toll{0};

// How a node is reached
inline constexpr std::size_t helpers_kept = 2;  // where a node can be met
inline constexpr std::size_t helpers_asked = 3; // about one node
inline constexpr std::size_t helpers_known_max = 64;
inline constexpr std::chrono::seconds helper_retry_wait{5};
inline constexpr std::size_t seen_told_max = 16;   // by how many members a node is told its address
inline constexpr std::size_t seen_sites_least = 2; // of different sites, before it is believed
inline constexpr std::chrono::minutes seen_lifetime{30};
inline constexpr std::chrono::minutes reachable_lifetime{10}; // after a stranger came in directly
inline constexpr std::size_t attempts_max = 128;              // connections that look for a way
inline constexpr std::chrono::milliseconds direct_head_start{300};
inline constexpr std::chrono::milliseconds helper_ask_wait{1'500}; // to connect to helpers and ask
inline constexpr std::chrono::milliseconds told_address_wait{1'500};
inline constexpr std::chrono::milliseconds meeting_wait{1'000};
inline constexpr std::chrono::milliseconds meet_dial_wait{1'200}; // both sides dial so long
inline constexpr std::chrono::milliseconds meet_dial_every{150};
inline constexpr std::size_t meet_sockets_max = 16; // accepted or dialled, of one meeting
inline constexpr std::size_t meetings_max = 16;     // that this node answers at once
inline constexpr std::uint32_t meetings_burst = 16; // for one key
inline constexpr std::uint32_t meetings_refill = 2; // each second
inline constexpr std::chrono::milliseconds relay_open_wait{2'000};
inline constexpr std::chrono::milliseconds relay_admission_wait{6'000};
inline constexpr std::chrono::minutes way_lifetime{10}; // that worked is tried first
inline constexpr std::size_t ways_known_max = 4'096;
inline constexpr std::size_t streams_of_node_max = 256; // that this node is an end of

// Ports that routers map
inline constexpr std::chrono::seconds port_lease{3'600};
inline constexpr std::chrono::seconds port_lease_least{120};     // a shorter one counts as this
inline constexpr std::chrono::milliseconds router_wait{2'000};   // for each answer of a router
inline constexpr std::chrono::milliseconds router_search{1'000}; // for routers, by UPnP
inline constexpr std::chrono::seconds router_retry_wait{60};
inline constexpr std::chrono::seconds router_retry_wait_max{3'600};

// Hole punching over UDP (actors/nat/hole_punch.hpp): how much a node sends because others named an
// address, and how long it waits for what comes of it.
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
