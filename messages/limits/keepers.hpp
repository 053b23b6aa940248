#pragma once

#include "messages/limits/raft.hpp"

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

/// Commands at a keeper that leads until most of the others would admit them, and how long.
inline constexpr std::size_t keepers_unheard_max = 256;
inline constexpr std::uint64_t keepers_word_wait_s = 60;
/// Orders whose signatures were checked, until they are agreed on.
inline constexpr std::size_t keepers_checked_orders_max = 4;
/// Digests that prove that a log is the beginning of another: the tree has at most 64 levels.
inline constexpr std::size_t keepers_path_max = 128;
/// Convictions in one order with the evidence that proves them.
inline constexpr std::size_t keepers_order_evidence_max = 64;
/// Schedulers that a keeper saw charge twice, until they are convicted.
inline constexpr std::size_t keeper_accused_max = 64;
/// How often a keeper looks at its clock for the others: well below `raft_heartbeat`.
inline constexpr std::chrono::milliseconds keepers_tick{20};
/// What one keeper says to another at once: a letter, and the byte before it.
inline constexpr std::size_t keepers_word_bytes_max = raft_letter_bytes_max + 1;

// Of who asks several keepers.

/// A keeper that answers nothing for so long is left for another.
inline constexpr std::chrono::milliseconds keeper_silent{1'000};
/// What was sent back without a leader's name is sent again so much later.
inline constexpr std::chrono::milliseconds keeper_leaderless{150};

} // namespace ovir::limits
