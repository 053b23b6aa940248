#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of requests that show what they say to few nodes (messages/request/privacy.hpp), or only
/// to nodes of a tier (messages/request/tier.hpp, messages/evidence/attestation.hpp).
namespace ovir::limits {

inline constexpr std::size_t ends_nodes_max = 16; // that may compute the ends, the asker's included
inline constexpr std::uint32_t ends_layers_max = 64; // of each end
inline constexpr std::uint32_t ends_first_usual = 2;
inline constexpr std::uint32_t ends_last_usual = 1;
// For nodes that just come: then a request whose ends are on none of its nodes is refused.
inline constexpr std::chrono::seconds ends_wait{5};

inline constexpr std::size_t attested_operator_bytes_max = 64;
inline constexpr std::size_t attested_region_bytes_max = 32;
inline constexpr std::size_t attested_level_bytes_max = 16; // of confidential hardware
inline constexpr std::size_t attestation_bytes_max = 4 + 32 + 8 + 1 + attested_operator_bytes_max +
                                                     1 + attested_region_bytes_max + 1 +
                                                     attested_level_bytes_max + 32 + 64;
static_assert(attestation_bytes_max == 255);
// That one node shows, in its advert
inline constexpr std::size_t attestations_per_node_max = 4;
// Keys that a request may name
inline constexpr std::size_t tier_attestors_max = 4;
// A tier as text: keys, properties, and the words before them
inline constexpr std::size_t tier_text_bytes_max = 512;
// Of each of two generations that a pathfinder remembers as genuine: all of a full cluster
inline constexpr std::size_t attestations_known_max = 16'384;
// Of a receipt: of all nodes that signed in it
inline constexpr std::size_t receipt_attestations_max = 64;

} // namespace ovir::limits
