#pragma once

#include "messages/limits/nat.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace ovir::actors {

/// Members that this node has reached directly, as helpers: where it can be met itself, and whom it
/// asks about others. The order is by `helper_rank`, relays first, so that nodes that know the same
/// members look for each other at the same ones. Pure.
class helper_list {
public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit helper_list(const node_id& self) : self_(self) {}

  /// A connection that this node began stands: the member is there. Of more than
  /// limits::helpers_known_max the one reached longest ago is forgotten, those in use last.
  void reached(const node_id& node, const std::string& address, bool relays, time_point now);
  /// It did not take this node as a guest: not before limits::helper_retry_wait.
  void failed(const node_id& node, time_point now);
  void forget(const node_id& node) { known_.erase(node); }

  /// Where this node is to be met: at most limits::helpers_kept.
  [[nodiscard]] std::vector<node_id> homes(time_point now) const;
  /// Who may know of `node`: at most limits::helpers_asked.
  [[nodiscard]] std::vector<node_id> for_node(const node_id& node, time_point now) const;
  /// Empty for those it does not know.
  [[nodiscard]] std::string address_of(const node_id& node) const;
  [[nodiscard]] std::size_t size() const noexcept { return known_.size(); }

private:
  struct entry {
    std::string address;
    bool relays{false};
    time_point reached{};
    time_point next{}; ///< to be tried no sooner
  };
  [[nodiscard]] std::vector<node_id> ordered(const node_id& by, std::size_t most,
                                             time_point now) const;

  node_id self_;
  std::map<node_id, entry> known_;
};

} // namespace ovir::actors
