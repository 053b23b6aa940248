#pragma once

#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <variant>
#include <vector>

/// What the servers of a Raft group say to each other (docs/formats/raft.md). A letter names no
/// sender: the link that brings it does.
namespace ovir::raft {

enum class entry_kind : std::uint8_t {
  command = 1, ///< bytes of the owner
  barrier = 2, ///< of a leader that begins; empty
  servers = 3, ///< entry 1 of each log: the group itself; empty
};

struct entry {
  std::uint64_t term{0}; ///< of the leader that made it; above 0
  entry_kind kind{entry_kind::command};
  std::vector<std::byte> bytes; ///< at most limits::raft_entry_bytes_max
  friend bool operator==(const entry&, const entry&) = default;
};

/// What stands for all entries up to one.
struct snapshot {
  std::uint64_t index{0};
  std::uint64_t term{0};        ///< of the entry at `index`
  std::vector<std::byte> bytes; ///< of the owner; at most limits::raft_snapshot_bytes_max
  friend bool operator==(const snapshot&, const snapshot&) = default;
};

// Figure 3.1 of Ongaro's dissertation, "Consensus: Bridging Theory and Practice" (2014)

/// From a leader: entries behind `before`. Without entries it is a heartbeat.
struct append_entries {
  std::uint64_t term{0};
  std::uint64_t before{0};      ///< index of the entry before the first one; 0: there is none
  std::uint64_t before_term{0}; ///< its term
  std::uint64_t commit{0};      ///< the leader's last agreed entry
  std::vector<entry> entries;
  friend bool operator==(const append_entries&, const append_entries&) = default;
};
struct appended {
  std::uint64_t term{0};
  std::uint64_t rejected{0}; ///< the index that does not match; 0: all was taken
  std::uint64_t last{0};     ///< the last entry that is written
  friend bool operator==(const appended&, const appended&) = default;
};
struct vote_request {
  std::uint64_t term{0};
  std::uint64_t last{0}; ///< the candidate's last entry
  std::uint64_t last_term{0};
  bool before_term{false}; ///< only asks whether it would get the vote (section 9.6)
  friend bool operator==(const vote_request&, const vote_request&) = default;
};
struct vote_answer {
  std::uint64_t term{0};
  bool granted{false};
  bool before_term{false};
  friend bool operator==(const vote_answer&, const vote_answer&) = default;
};
/// From a leader to a server that lacks entries which are no longer there.
struct install_snapshot {
  std::uint64_t term{0};
  snapshot content;
  friend bool operator==(const install_snapshot&, const install_snapshot&) = default;
};

// After the loss of a disk (docs/adr/0031-keepers-by-raft.md)

struct ask_standing {
  std::uint64_t nonce{0};
  friend bool operator==(const ask_standing&, const ask_standing&) = default;
};
struct standing {
  std::uint64_t nonce{0}; ///< of the question
  std::uint64_t term{0};
  std::uint64_t last{0};
  std::uint64_t last_term{0};
  friend bool operator==(const standing&, const standing&) = default;
};

using letter = std::variant<append_entries, appended, vote_request, vote_answer, install_snapshot,
                            ask_standing, standing>;

[[nodiscard]] std::vector<std::byte> to_bytes(const letter& of);
/// `malformed`, `unsupported` or `over_limit`. What it returns is sound in itself: terms and
/// indices are in range, and terms of entries do not fall.
[[nodiscard]] result<letter> letter_from(std::span<const std::byte> bytes);

/// Takes entries from the end until the rest fits a letter. One always does.
void fit_letter(std::vector<entry>& entries);

} // namespace ovir::raft
