#pragma once

#include "actors/network.hpp"

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace ovir::actors {

/// Counts connections against limits::connections_max, those not yet admitted, those of one address
/// and those of one node. A connection holds its slot until its socket is closed for good, so that
/// one that is being closed still counts. Any thread.
class connection_slots : public std::enable_shared_from_this<connection_slots> {
public:
  /// A place; given back when dropped. Moved, never copied.
  class slot {
  public:
    slot() = default;
    slot(slot&& other) noexcept : of_(std::move(other.of_)), what_(std::move(other.what_)) {}
    slot& operator=(slot&& other) noexcept;
    ~slot() { give_back(); }

    /// An incoming connection was admitted as this node's: it is pending no longer. `busy` when the
    /// node has as many of this kind as one may have. A key is a member's or a person's, not both.
    [[nodiscard]] result<void> admitted(const node_id& node, channel kind);

  private:
    friend class connection_slots;
    struct description {
      bool incoming{false};
      bool pending{false};
      std::string address; ///< empty: not counted by address
      node_id node;
    };
    void give_back() noexcept;

    std::shared_ptr<connection_slots> of_;
    description what_;
  };

  /// `busy` with the reason. `address` is empty for a loopback address: a cluster on one machine
  /// shares that, and whoever can use it has a shell there already.
  [[nodiscard]] result<slot> take_incoming(std::string address);
  [[nodiscard]] result<slot> take_outgoing();

  [[nodiscard]] std::size_t in_use() const;

private:
  struct of_address {
    std::size_t all{0};
    std::size_t pending{0};
  };

  mutable std::mutex mutex_;
  std::size_t all_{0};
  std::size_t pending_{0};
  std::map<std::string, of_address> addresses_;
  std::map<node_id, std::size_t> nodes_;
};

} // namespace ovir::actors
