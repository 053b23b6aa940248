#pragma once

#include "actors/runtime/allowance.hpp"
#include "messages/limits/links.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <map>
#include <string>

namespace ovir::actors {

/// How often gossip makes this node connect. Each connection is on account of a node: of the member
/// it leads to, or, while this node has not reached that, of the peer that told of it
/// (limits::dials_burst, then one per limits::dial_interval). An address that this node has not
/// reached is tried less and less often, whichever keys are said to be there. Pure.
class dial_budget {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `first_wait`: until the second try of an address.
  explicit dial_budget(std::chrono::milliseconds first_wait) : first_wait_(first_wait) {}

  /// Whether to connect now. Counts it.
  [[nodiscard]] bool may_dial(const node_id& account, const std::string& address, bool reached,
                              time_point now);
  /// A node that is there says that this is its address.
  void reached(const std::string& address) { told_.erase(address); }
  /// Drops what has no effect any more.
  void forget_old(time_point now);

  [[nodiscard]] std::size_t size() const noexcept { return told_.size() + accounts_.size(); }

private:
  struct told {
    std::chrono::milliseconds wait{0};
    time_point next;
  };

  std::chrono::milliseconds first_wait_;
  std::map<std::string, told> told_; ///< by address
  std::map<node_id, allowance> accounts_;
};

} // namespace ovir::actors
