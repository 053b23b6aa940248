#pragma once

#include "messages/limits/general.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of keys that a node of an open cluster lets in without leave (actors/link/
/// stranger_door.hpp, actors/members/stranger_shares.hpp). A site is a /24 of IPv4 or a /48 of
/// IPv6.
namespace ovir::limits {

/// Of those that are linked at once: connections are left for nodes that have leave.
inline constexpr std::size_t strangers_linked_max = 64;
static_assert(4 * strangers_linked_max <= connections_max);
/// Of one site, at once: a house or an office has several machines.
inline constexpr std::size_t strangers_per_site_max = 16;
/// A place is kept so long for one that was let in and is not linked yet.
inline constexpr std::uint64_t stranger_arrival_s = 30;

// Entries of the table of members that are strangers
inline constexpr std::size_t stranger_entries_max = members_max / 4 * 3;
inline constexpr std::size_t stranger_entries_per_site = 64;
/// That one peer, or all strangers of one site together, told of.
inline constexpr std::size_t stranger_entries_per_introducer = members_max / 16;
/// Who told of fewer gets a place in a table that strangers fill, from whom told of most.
inline constexpr std::size_t stranger_entries_fair = members_max / 128;
/// Of the neighbours that a node of a crowd draws, strangers of one site, and those that one peer
/// told of.
inline constexpr std::size_t drawn_per_site = 1;
inline constexpr std::size_t drawn_per_introducer = 3;
/// Of them, nodes that have leave, as long as there are such.
inline constexpr std::size_t drawn_leave = 2;
/// So many are drawn also beyond these shares, as long as there are no others.
inline constexpr std::size_t drawn_least = 3;

/// What is asked of a member before its cluster is known (`ovir up --join HOST:PORT`).
inline constexpr std::chrono::milliseconds introduction_wait{10'000};
inline constexpr std::size_t introduction_adverts_max = 64;
/// Addresses of a host's name that are tried.
inline constexpr std::size_t addresses_per_name_max = 16;

} // namespace ovir::limits
