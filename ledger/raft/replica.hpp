#pragma once

#include "ledger/raft/journal.hpp"
#include "ledger/raft/letter.hpp"
#include "ledger/raft/library.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

/// One server of a Raft group, as its owner sees it: bytes that any server proposed come out of
/// every server in the same order, once more than half of them have written them.
///
/// Raft tolerates servers that stop and not servers that lie. What a lying one can do here is to
/// keep the group from agreeing, and not to crash another: letters are checked before the library
/// sees them. That what was agreed is right is for the owner to check, on every server
/// (docs/adr/0031-keepers-by-raft.md).
namespace ovir::raft {

/// What a server asks of its owner, who must not call it back meanwhile.
class replica_owner {
public:
  virtual ~replica_owner() = default;
  /// May be lost, doubled and late.
  virtual void send(std::uint8_t to, letter what) = 0;
  /// A number between both, drawn evenly.
  virtual std::uint32_t between(std::uint32_t least, std::uint32_t most) = 0;
  /// Whether this server writes such an entry of another one; else it writes none behind it either.
  virtual bool takes(const entry& e) = 0;
  /// Whether it believes that this stands for what was agreed; else the letter is dropped.
  virtual bool takes(const snapshot& s) = 0;
  /// The next command, in order. The same one comes again after a restart if its place is behind
  /// the one that `replica::open` was told.
  virtual void agreed(const place& where, std::span<const std::byte> bytes) = 0;
  /// What stands for all that was agreed so far; nothing while that is not known to last.
  virtual std::optional<std::vector<std::byte>> snapshot_now() = 0;
  /// Commands up to it are no longer to be had here.
  virtual void restored(const snapshot& s) = 0;
};

/// One thread at a time; `files` and `owner` outlive it.
class replica final : private library_owner {
public:
  /// Makes the journal of a server of a new group. Each server of it is made once, before any runs.
  [[nodiscard]] static result<void> found(journal_files& files, const group& of);
  /// A server without a journal lost its disk: it takes part, but for votes, once more than half of
  /// the group has told it how far it has to come. `known` is the last place that the owner was
  /// told of and has written.
  [[nodiscard]] static result<std::unique_ptr<replica>> open(journal_files& files, const group& of,
                                                             replica_owner& owner,
                                                             const timing& times, milliseconds now,
                                                             const place& known);

  /// At least every heartbeat.
  void tick(milliseconds now);
  void receive(milliseconds now, std::uint8_t from, letter&& what);
  /// Where the bytes stand if they are agreed on: `agreed` tells of that place. Another command may
  /// take it when this server ceases to lead. `busy` where it does not lead, or has too much that
  /// is not agreed yet.
  [[nodiscard]] result<place> propose(milliseconds now, std::span<const std::byte> bytes);

  /// So much was agreed on since the last snapshot that another one is due.
  [[nodiscard]] bool wants_snapshot() const;
  /// Of a leader whose owner could give one now: writes an entry without a command, behind which
  /// every server asks its owner. Nothing while another entry is not agreed on.
  void ask_for_snapshots(milliseconds now);
  /// Entries in its journal.
  [[nodiscard]] std::size_t kept() const { return log_ ? log_->state().entries.size() : 0; }

  /// It leads, and knows all that was agreed before.
  [[nodiscard]] bool leads() const;
  /// 0: none is known.
  [[nodiscard]] std::uint8_t leader() const;
  [[nodiscard]] std::uint64_t term() const { return log_ ? log_->state().term : 0; }
  [[nodiscard]] std::uint64_t last_agreed() const noexcept { return agreed_; }
  [[nodiscard]] std::uint64_t last_index() const { return log_ ? log_->last_index() : 0; }
  /// It lost its disk and does not vote yet.
  [[nodiscard]] bool is_recovering() const { return !log_ || log_->state().reach; }
  /// An error once it can do nothing more and must be opened anew.
  [[nodiscard]] result<void> sound() const;

private:
  replica(journal_files& files, const group& of, replica_owner& owner, const timing& times,
          const place& known)
      : files_(files), group_(of), owner_(owner), times_(times), known_(known) {}

  void start(milliseconds now);
  void look(milliseconds now);
  void tell_agreed();
  void deliver(std::uint64_t end);
  void ask_standings();

  [[nodiscard]] bool admits(milliseconds now, std::uint8_t from, append_entries& m);
  [[nodiscard]] bool admits(milliseconds now, std::uint8_t from, const appended& m);
  [[nodiscard]] bool admits(milliseconds now, std::uint8_t from, const vote_request& m);
  [[nodiscard]] bool admits(milliseconds now, std::uint8_t from, const vote_answer& m);
  [[nodiscard]] bool admits(milliseconds now, std::uint8_t from, const install_snapshot& m);
  [[nodiscard]] bool admits(milliseconds now, std::uint8_t from, const ask_standing& m);
  [[nodiscard]] bool admits(milliseconds now, std::uint8_t from, const standing& m);
  [[nodiscard]] bool is_leader_of(std::uint64_t term, std::uint8_t from);
  [[nodiscard]] bool skip_agreed(append_entries& m) const;
  [[nodiscard]] bool cut_untaken(append_entries& m) const;

  void send(std::uint8_t to, letter what) override;
  std::uint32_t between(std::uint32_t least, std::uint32_t most) override;
  std::optional<std::vector<std::byte>> snapshot_at(std::uint64_t index) override;

  journal_files& files_;
  group group_;
  replica_owner& owner_;
  timing times_;
  place known_;
  std::optional<journal> log_;
  std::unique_ptr<library> library_;
  std::uint64_t agreed_{0};
  std::uint64_t delivered_{0};
  std::uint64_t compared_{0};     ///< entries up to here are those of the leader
  place led_by_{};                ///< a term, and the server that leads in it
  std::uint64_t barrier_term_{0}; ///< in which this server led, and wrote its first entry
  std::uint64_t nonce_{0};        ///< of the questions after the loss of a disk
  std::array<std::optional<standing>, limits::raft_servers_max> standings_{};
  result<void> disk_{};
};

} // namespace ovir::raft
