#pragma once

#include "ledger/raft/journal.hpp"
#include "ledger/raft/letter.hpp"
#include "messages/limits/raft.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

/// Canonical's C-Raft as one object, without its threads, clocks, files and sockets.
namespace ovir::raft {

/// Of the owner's clock, which never goes back.
using milliseconds = std::chrono::milliseconds;

enum class role : std::uint8_t {
  follower,
  candidate,
  leader,
  stopped, ///< the disk failed, or another server broke the rules; it must be started anew
};

struct timing {
  milliseconds election{limits::raft_election};   ///< drawn between this and twice this
  milliseconds heartbeat{limits::raft_heartbeat}; ///< below `election`
};

/// What the library asks of its owner, who must not call it back meanwhile.
class library_owner {
public:
  virtual ~library_owner() = default;
  virtual void send(std::uint8_t to, letter what) = 0;
  /// A number between both, drawn evenly.
  virtual std::uint32_t between(std::uint32_t least, std::uint32_t most) = 0;
  /// What stands for all entries up to `index`; nothing while it is not known to last.
  virtual std::optional<std::vector<std::byte>> snapshot_at(std::uint64_t index) = 0;
};

/// Whatever it writes lasts before a letter that promises it leaves; letters with entries leave
/// before these last here, as section 10.2.1 of the dissertation allows.
///
/// It believes what it is told: letters are checked before (`replica.hpp`). One thread at a time;
/// `log` and `owner` outlive it.
class library {
public:
  library(journal& log, library_owner& owner, const timing& times, milliseconds now);
  ~library();
  library(const library&) = delete;
  library& operator=(const library&) = delete;

  void tick(milliseconds now);
  void receive(milliseconds now, std::uint8_t from, letter&& what);
  /// False where this server is no leader.
  [[nodiscard]] bool propose(milliseconds now, std::span<const std::byte> bytes);
  [[nodiscard]] bool barrier(milliseconds now);

  [[nodiscard]] role now_is() const noexcept;
  [[nodiscard]] std::uint64_t term() const noexcept;
  /// The last entry that the library counts as agreed. See `replica.hpp` for what that is worth.
  [[nodiscard]] std::uint64_t commit() const noexcept;
  /// 0: none is known.
  [[nodiscard]] std::uint8_t leader() const noexcept;
  /// The disk's error, once there was one.
  [[nodiscard]] const result<void>& disk() const noexcept;

private:
  class server;
  std::unique_ptr<server> server_;
};

} // namespace ovir::raft
