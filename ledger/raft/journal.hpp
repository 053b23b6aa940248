#pragma once

#include "ledger/log/log.hpp"
#include "ledger/raft/letter.hpp"
#include "messages/digest.hpp"
#include "messages/durable_file.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

/// What one server of a Raft group must not forget (docs/formats/raft-journal.md).
namespace ovir::raft {

/// The group, and which of its servers this is. Servers have the numbers 1 to `servers`.
struct group {
  digest name; ///< of what the group agrees on
  std::uint8_t self{1};
  std::uint8_t servers{1}; ///< at most limits::raft_servers_max
  friend bool operator==(const group&, const group&) = default;
};

/// An entry's place. Of two logs, the one with the larger last place is more up to date (section
/// 3.6.1 of the dissertation): terms come first.
struct place {
  std::uint64_t term{0};
  std::uint64_t index{0};
  friend auto operator<=>(const place&, const place&) = default;
};

/// What a journal holds. It begins with entry 1, which is the group.
struct journal_state {
  std::uint64_t term{1};
  std::uint8_t vote{0}; ///< the server that got this one's vote in `term`; 0: none
  /// After the loss of a disk: no vote before the log reaches it.
  std::optional<place> reach;
  std::optional<snapshot> before; ///< stands for what precedes `entries`, and for some of them
  std::uint64_t first{1};         ///< index of entries.front()
  std::vector<entry> entries;
  friend bool operator==(const journal_state&, const journal_state&) = default;
};

/// A journal is a sequence of files, of which the last whole one counts. The owner of the disk
/// implements it; a file that `create` made is there, empty and lasting, when it returns.
class journal_files {
public:
  virtual ~journal_files() = default;
  /// Ascending.
  [[nodiscard]] virtual result<std::vector<std::uint64_t>> list() = 0;
  [[nodiscard]] virtual result<std::unique_ptr<durable_file>> open(std::uint64_t number) = 0;
  [[nodiscard]] virtual result<std::unique_ptr<durable_file>> create(std::uint64_t number) = 0;
  /// Success also when there is no such file.
  [[nodiscard]] virtual result<void> remove(std::uint64_t number) = 0;
};

/// Changes are in `state` at once, and last when `flush` returns. After an error of the disk the
/// journal takes nothing more: it must be opened anew. One thread at a time; `files` outlives it.
class journal {
public:
  /// A server of a new group, or one that lost its disk and knows what it must reach.
  /// `invalid_argument` where there is a journal already.
  [[nodiscard]] static result<journal> create(journal_files& files, const group& of,
                                              const journal_state& beginning);
  /// `not_found` where no whole file is there, `digest_mismatch` for a damaged one,
  /// `invalid_argument` for that of another group or server.
  [[nodiscard]] static result<journal> open(journal_files& files, const group& of);

  [[nodiscard]] const group& of() const noexcept { return group_; }
  [[nodiscard]] const journal_state& state() const noexcept { return state_; }
  [[nodiscard]] std::uint64_t last_index() const noexcept {
    return state_.first + state_.entries.size() - 1;
  }
  [[nodiscard]] place last_place() const;
  /// 0 where the entry is not there any more, or not yet.
  [[nodiscard]] std::uint64_t term_at(std::uint64_t index) const;
  /// Precondition: the entry is there.
  [[nodiscard]] const entry& at(std::uint64_t index) const;
  /// Of entries, in memory.
  [[nodiscard]] std::size_t entry_bytes() const noexcept { return entry_bytes_; }

  void vote(std::uint64_t term, std::uint8_t server);
  void append(entry next);
  /// Drops the entries from `index` on. Precondition: it is behind the snapshot.
  void cut(std::uint64_t index);
  /// The log has reached what it had to.
  void reached();
  /// Begins a new file with a snapshot of what this log holds, and the `kept` entries that end
  /// there and all later ones; the old file is removed.
  [[nodiscard]] result<void> take(snapshot of, std::uint64_t kept);
  /// The same with a snapshot of another server, which takes the place of all entries.
  [[nodiscard]] result<void> replace(snapshot of);
  [[nodiscard]] result<void> flush();

private:
  journal(journal_files& files, const group& of) : files_(&files), group_(of) {}

  [[nodiscard]] static result<std::optional<journal>> read(journal_files& files, const group& of);
  [[nodiscard]] result<void> begin_file(std::uint64_t number);
  void stage(std::span<const std::byte> record);
  void stage_entry(const entry& e);
  void stage_vote();

  journal_files* files_;
  group group_;
  journal_state state_;
  std::size_t entry_bytes_{0};
  std::uint64_t number_{0};
  std::unique_ptr<durable_file> file_;
  std::optional<ledger::entry_log> log_;
  result<void> disk_{}; ///< its first error
};

} // namespace ovir::raft
