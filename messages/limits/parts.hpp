#pragma once

#include "messages/limits/general.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>

/// Bounds of groups of nodes that hold one segment together (compute/parts).
namespace ovir::limits {

inline constexpr std::size_t group_members_max = 16;
inline constexpr std::size_t group_candidates_max = 256; // among which a group is chosen
inline constexpr std::size_t group_leaders_tried = 8;    // the fastest, around which groups are
/// Of a member's share of a segment, in parts of the sum of all: any unit will do, tokens per
/// second for one.
inline constexpr std::uint32_t group_share_max = 1U << 20U;
/// Passes of at most so many rows send activations as floats where their cut leaves the choice:
/// one exchange less is then worth more than three quarters of the bytes.
inline constexpr std::uint32_t group_float_rows = 4;

/// Exchanges of a pass: at most seven of a layer.
inline constexpr std::uint32_t group_steps_max = 7 * layers_max;
/// Elements of K and V of a position that a member has: of all layers and its heads.
inline constexpr std::uint32_t group_kv_width_max = 1U << 22U;
/// Words of others that a member keeps while it waits for what crosses.
inline constexpr std::size_t group_orders_max = 64;
/// A node that joined a group says that it is full: its leader is the one to ask, unless it is
/// gone.
inline constexpr std::size_t group_load = sessions_max;
/// Bytes that wait for a member to take them: a pass's step and the next one of all others.
inline constexpr std::size_t group_inbox_bytes_max = 8 * frame_bytes_max;
inline constexpr std::size_t groups_joined_max = 8;              // that others lead, of a node
inline constexpr std::size_t group_order_bytes_max = 64U << 10U; // which cut a group has
inline constexpr std::size_t group_answer_bytes_max = 512;       // why a member takes no part
/// A statement about parts, which goes with a receipt in a conviction: of 80 layers and 16 members
/// it has 410 KB.
inline constexpr std::size_t part_statement_bytes_max = 4U << 20U;
/// What a node keeps of what the members of its groups signed: of 22 layers and two members some
/// 150,000 positions.
inline constexpr std::size_t part_shelf_bytes_max = 64U << 20U;
/// Statements about parts that are shown and looked at, of one window.
inline constexpr std::size_t part_statements_shown_max = 8;
/// Ways in which activations crossed within one window: a verifier computes it once in each.
inline constexpr std::size_t part_ways_max = 4;

/// How long a leader waits for a member's next message; members wait twice as long.
inline constexpr std::chrono::milliseconds group_patience{2'000};
inline constexpr std::chrono::milliseconds group_patience_min{50};
inline constexpr std::chrono::milliseconds group_patience_max{60'000};
/// A group's first pass and, drawn at random, one of so many others the leader computes alone, too.
inline constexpr std::uint64_t group_check_every = 64;
/// What joined groups may keep, of a node's memory: an eighth for each would be all of it.
inline constexpr std::uint64_t group_memory_share = 4; // a quarter

} // namespace ovir::limits
