#pragma once

#include "actors/members/gossip_format.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ovir::actors {

/// News on its way: each update is told about 3 log2(members) times in all, the least told first,
/// which reaches everyone with high probability (Das, Gupta, Motivala 2002, section 4.1). At most
/// one update of each kind per node, so its size is bounded by the members.
class gossip_queue {
public:
  /// Takes the place of what is queued of the same kind about the same node; an advert or farewell
  /// also removes a suspicion it has outlived.
  void push(signed_update update);
  /// Drops the suspicion of a node that proved to be there.
  void drop_suspicion(const node_id& subject);
  void forget(const node_id& subject);

  /// Up to `count` updates of together at most `bytes` for `to`, which is not told its own advert.
  /// Counts them as told.
  [[nodiscard]] std::vector<signed_update> take(const node_id& to, std::size_t members,
                                                std::size_t count, std::size_t bytes);

  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }

  /// How often one update is told among so many members.
  [[nodiscard]] static std::uint32_t tellings(std::size_t members) noexcept;

private:
  struct item {
    signed_update update;
    std::size_t bytes{0};
    std::uint32_t told{0};
    std::uint64_t number{0}; ///< of equally told ones the newest goes first
  };

  std::vector<item> items_;
  std::uint64_t pushed_{0};
};

} // namespace ovir::actors
