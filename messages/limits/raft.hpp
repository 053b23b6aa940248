#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

/// The bounds of a group of keepers that agree by Raft.
namespace ovir::limits {

inline constexpr std::uint8_t raft_servers_max = 7;
inline constexpr std::size_t raft_entry_bytes_max = 1U << 20U;
inline constexpr std::size_t raft_letter_entries_max = 256;
/// Of the entries in a letter; one entry always fits.
inline constexpr std::size_t raft_letter_body_bytes_max = 2U << 20U;
inline constexpr std::size_t raft_letter_bytes_max = raft_letter_body_bytes_max + (64U << 10U);
inline constexpr std::size_t raft_snapshot_bytes_max = 64U << 10U;
/// Entries behind the last agreed one: more are refused until these are agreed.
inline constexpr std::uint64_t raft_open_entries_max = 1'024;
inline constexpr std::size_t raft_open_bytes_max = 32U << 20U;
/// Entries since the last snapshot before there is another, and entries kept before it.
inline constexpr std::uint64_t raft_snapshot_every = 128;
inline constexpr std::uint64_t raft_entries_kept = 64;
/// What a journal holds at most: beyond it a leader takes no entries, and a follower neither, until
/// their owner has taken a snapshot.
inline constexpr std::size_t raft_journal_entries_max = 65'536;
inline constexpr std::size_t raft_journal_bytes_max = 256U << 20U;
// Else a leader could take no entry any more before its owner's next snapshot is due.
static_assert((raft_snapshot_every + raft_entries_kept + 8) * raft_entry_bytes_max <=
              raft_journal_bytes_max);
/// Terms that a server takes above all that it hears of after it lost its disk.
inline constexpr std::uint64_t raft_terms_after_loss = 65'536;
/// A letter of a term further ahead is a lie: honest terms rise by one an election, and by the
/// above a lost disk.
inline constexpr std::uint64_t raft_terms_ahead_max = std::uint64_t{1} << 24U;
/// Below it a term, so that none is ever out of range.
inline constexpr std::uint64_t raft_term_max = std::uint64_t{1} << 62U;

inline constexpr std::chrono::milliseconds raft_election{300}; // at least, at most twice
inline constexpr std::chrono::milliseconds raft_heartbeat{60};

} // namespace ovir::limits
