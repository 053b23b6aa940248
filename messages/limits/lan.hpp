#pragma once

#include "messages/limits/general.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of what hosts of the local network may tell by DNS-SD (actors/reach). All of it is
/// hints of strangers.
namespace ovir::limits {

// Of one announcement
inline constexpr std::size_t lan_txt_strings_max = 32;
inline constexpr std::size_t lan_txt_bytes_max = 1'024; // of all strings; ours have less than 200

// Of one search
inline constexpr std::size_t lan_services_max = 4'096;         // looked at; the others are counted
inline constexpr std::size_t lan_rows_max = 64;                // of the table that people read
inline constexpr std::size_t lan_addresses_max = 32;           // kept of one cluster
inline constexpr std::uint32_t lan_cache_entries_max = 16'384; // records kept of each interface
inline constexpr std::chrono::milliseconds lan_search_time{3'000}; // while nothing is found
/// A host says nothing again within a second of saying it (RFC 6762, section 6): one that another
/// search just heard answers later.
inline constexpr std::chrono::milliseconds lan_search_least{1'500};
// Between two looks at what interrupts a search
inline constexpr std::chrono::milliseconds lan_search_poll{50};

// Of a node that announces itself
inline constexpr std::uint32_t lan_renames_max = 8; // when others have its name
inline constexpr std::size_t lan_answer_bytes_max =
    2 * seeds_max * address_bytes_max; // typed by a person

} // namespace ovir::limits
