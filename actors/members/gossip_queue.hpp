#pragma once

#include "actors/members/gossip_format.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace ovir::actors {

/// News on its way: each update is told about `tellings` times in all, the least told first, of
/// equally told ones the newest. At most one update of each kind per node, of suspicions so many as
/// `push` says, so its size is bounded by the members.
class gossip_queue {
public:
  /// Takes the place of what is queued of the same kind about the same node, of suspicions of the
  /// oldest where there are `suspicions` already; an advert or farewell also removes a suspicion it
  /// has outlived.
  void push(signed_update update, std::size_t suspicions = 1);
  /// Drops the suspicions of a node that proved to be there.
  void drop_suspicion(const node_id& subject);
  void forget(const node_id& subject);

  /// Up to `count` updates of together at most `bytes` for `to`, which is not told its own advert.
  /// Counts them as told; those that were told `tellings` times are dropped.
  [[nodiscard]] std::vector<signed_update> take(const node_id& to, std::uint32_t tellings,
                                                std::size_t count, std::size_t bytes);

  [[nodiscard]] bool empty() const noexcept { return items_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }

  /// How often one update is told among so many members that are all linked: 3 log2(members)
  /// reaches everyone with high probability (Das, Gupta, Motivala 2002, section 4.1).
  [[nodiscard]] static std::uint32_t mesh_tellings(std::size_t members) noexcept;
  /// Where members who missed it compare digests: log2(members) / 2 + 1, after which one in
  /// some hundred missed it.
  [[nodiscard]] static std::uint32_t crowd_tellings(std::size_t members) noexcept;

private:
  struct place {
    std::uint32_t told{0};
    std::uint64_t number{0};
    friend bool operator<(const place& a, const place& b) {
      return a.told != b.told ? a.told < b.told : a.number > b.number;
    }
  };
  struct item {
    signed_update update;
    std::size_t bytes{0};
  };
  using items = std::map<place, item>;

  template <class Wanted>
  void erase_of(const node_id& subject, Wanted wanted);

  items items_;
  std::map<node_id, std::vector<place>> by_subject_; ///< oldest first
  std::uint64_t pushed_{0};
};

} // namespace ovir::actors
