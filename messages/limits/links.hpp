#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of what strangers and gossip may cost a node's links (actors/link/connection_slots.hpp,
/// actors/link/dial_budget.hpp).
namespace ovir::limits {

// Connections of one port that are not admitted, by how far they have come: those of known
// addresses and, apart from them, those of all others. A newcomer puts the oldest one out.
inline constexpr std::size_t pending_silent_max = 512; // without a whole ClientHello
inline constexpr std::size_t pending_shaking_max = 128;
inline constexpr std::size_t pending_proven_max = 64; // the key is proven, the hello is to come
inline constexpr std::size_t pending_floor = 16;      // of each, however few descriptors there are
// Descriptors of the process for each place of a kind, where the system allows few.
inline constexpr std::size_t descriptors_per_silent = 16;
inline constexpr std::size_t descriptors_per_shaking = 32;
inline constexpr std::size_t descriptors_per_proven = 64;
// Descriptors that HTTP connections leave to the rest of a node, or three quarters of all.
inline constexpr std::size_t descriptors_reserved = 4'096;

// Addresses of admitted peers that are remembered, per port; the one not seen longest is forgotten.
inline constexpr std::size_t known_prefixes_max = 1'024;
// Of limits::connections_max: only shells get these.
inline constexpr std::size_t shell_places_reserved = 16;

// The first record of a handshake; ours have less than 600 bytes.
inline constexpr std::size_t client_hello_bytes_max = 4U << 10U;
// TLS handshakes computed for one address (an IPv6 /64): so many at once, then one per interval.
// The machine itself is exempt.
inline constexpr std::uint32_t handshakes_burst = 256;
inline constexpr std::chrono::milliseconds handshake_interval{20};
inline constexpr std::size_t handshake_prefixes_max = 4'096; // that are counted

// What the log says of nodes that are refused.
inline constexpr std::chrono::seconds refusal_told_every{60}; // the same one
inline constexpr std::size_t refusals_told_max = 32;          // nodes, in that time

// Membership entries that this node has not reached, by the peer that told of them.
inline constexpr std::size_t introductions_max = 8;
inline constexpr std::chrono::seconds unreached_lifetime{30};
inline constexpr std::chrono::milliseconds unreached_dial_wait_max{60'000}; // between two tries
// Connections begun because of gossip, on account of the peer that told of the address, or of the
// member it belongs to: so many at once, then one per interval.
inline constexpr std::uint32_t dials_burst = 16;
inline constexpr std::chrono::milliseconds dial_interval{1'000};
inline constexpr std::size_t told_addresses_max = 256; // whose waits are remembered
// Between two adverts that are made for round trips alone.
inline constexpr std::chrono::seconds rtts_told_every{10};

} // namespace ovir::limits
