#pragma once

#include "actors/link/network.hpp"
#include "messages/address_prefix.hpp"
#include "messages/limits/general.hpp"
#include "messages/limits/links.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace ovir::actors {

/// How far a connection that is not admitted has come.
enum class progress : std::uint8_t {
  silent,  ///< it has not sent a whole ClientHello
  shaking, ///< the handshake is under way
  proven,  ///< it has a key; whose, and whether that may come in, is to be seen
};
inline constexpr std::size_t progress_count = 3;

/// Counts connections. Those not yet admitted have pools of their own: for each port, for known
/// addresses and for all others, and for each progress. A pool takes every newcomer: when it is
/// full, the address with the most places there gives up its oldest. So a place that is held keeps
/// no one out, a flood from one address puts out its own, and a connection that makes progress is
/// not put out by those that make none. An address is known from its first admission on.
///
/// Admitted ones and those that this node opens share limits::connections_max, of which some are
/// for shells alone; one address and one node have bounds of their own. A connection holds its slot
/// until its socket is closed for good. Any thread, but `leave` is called by the one that takes a
/// place.
class connection_slots : public std::enable_shared_from_this<connection_slots> {
public:
  /// Places of a pool, by progress.
  using pool_sizes = std::array<std::size_t, progress_count>;
  /// What a process with so many descriptors affords.
  [[nodiscard]] static pool_sizes sizes_for(std::uint64_t descriptors) noexcept;

  explicit connection_slots(pool_sizes sizes = {limits::pending_silent_max,
                                                limits::pending_shaking_max,
                                                limits::pending_proven_max})
      : sizes_(sizes) {}

  struct arrival {
    std::size_t port{0}; ///< number of the listener
    address_prefix from;
    std::string address;         ///< without the port; empty: admitted ones are not counted by it
    std::function<void()> leave; ///< closes it, when others need its place
  };

  /// A place; given back when dropped. Moved, never copied.
  class slot {
  public:
    slot() = default;
    slot(slot&& other) noexcept : of_(std::move(other.of_)), what_(std::move(other.what_)) {}
    slot& operator=(slot&& other) noexcept;
    ~slot() { give_back(); }

    /// An incoming connection has come further; the oldest of those as far as it may have to leave.
    void advance(progress to);
    /// An incoming connection was admitted as this node's: it is pending no longer. `busy` when
    /// there are as many as there may be, in all, of its address or of the node. A key is a
    /// member's or a person's, not both.
    [[nodiscard]] result<void> admitted(const node_id& node, channel kind);

  private:
    friend class connection_slots;
    struct description {
      bool incoming{false};
      bool pending{false};
      std::size_t pool{0};
      std::uint64_t number{0};
      address_prefix from;
      std::string address;
      node_id node;
    };
    void give_back() noexcept;

    std::shared_ptr<connection_slots> of_;
    description what_;
  };

  [[nodiscard]] slot take_incoming(arrival who);
  [[nodiscard]] result<slot> take_outgoing();
  /// Closes one that is not admitted, of those that have come least far; false when there is none.
  bool put_one_out();

  [[nodiscard]] std::size_t in_use() const;
  [[nodiscard]] std::size_t pending() const;

private:
  struct waiting {
    address_prefix from;
    std::function<void()> leave;
  };
  struct pool {
    std::map<std::uint64_t, waiting> all; ///< oldest first
    std::map<address_prefix, std::size_t> crowd;
  };

  /// Known addresses and others, by progress.
  [[nodiscard]] static std::size_t pool_number(std::size_t port, bool known, progress p) noexcept {
    return (port * 2 + (known ? 1 : 0)) * progress_count + static_cast<std::size_t>(p);
  }
  /// Enters it, and takes out who has to leave; to be called without the lock. May be empty.
  [[nodiscard]] std::function<void()> enter(std::size_t number, std::uint64_t name, waiting who);
  [[nodiscard]] static std::function<void()> take_one_out(pool& of);
  static void take_out(pool& of, std::map<std::uint64_t, waiting>::iterator who);
  void remember(std::size_t port, const address_prefix& from);

  const pool_sizes sizes_;
  mutable std::mutex mutex_;
  std::size_t all_{0}; ///< admitted, or opened by this node
  std::uint64_t last_number_{0};
  std::map<std::size_t, pool> pools_;
  /// By port: addresses and when they were last admitted.
  std::map<std::size_t, std::map<address_prefix, std::uint64_t>> known_;
  std::map<std::string, std::size_t> addresses_; ///< of admitted ones
  std::map<node_id, std::size_t> nodes_;
};

} // namespace ovir::actors
