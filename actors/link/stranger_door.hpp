#pragma once

#include "messages/address_prefix.hpp"
#include "messages/limits/strangers.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Keys that come to a node of an open cluster without leave: what they may be, and how many may
/// be here at once, in all and of one site (/24, /48). A full house takes another stranger by
/// putting out the last one of the site that has most, where that has more than the new one's would
/// have: places that one site holds keep no other out. A core; not thread-safe.
class stranger_door {
public:
  /// What an unknown key may be. Every other role takes leave.
  static constexpr role_set roles{static_cast<std::uint16_t>(role::worker)};

  struct counts {
    std::size_t here{0};       ///< places that are held
    std::uint64_t refused{0};  ///< for want of a place
    std::uint64_t replaced{0}; ///< put out for a stranger of another site
  };

  /// Takes a place for `node`, which is at `from`, or keeps the one it has. Held while it is
  /// linked, else for limits::stranger_arrival_s from `now_s` on (seconds of a clock that does not
  /// go back). `busy` where there is none.
  [[nodiscard]] result<void> enter(const node_id& node, const address_prefix& from,
                                   std::uint64_t now_s);
  /// It is linked, and no longer.
  void came(const node_id& node);
  void went(const node_id& node) { places_.erase(node); }
  /// Those that others took the place of since the last call: their links are to be closed.
  [[nodiscard]] std::vector<node_id> take_replaced() { return std::exchange(gone_, {}); }
  [[nodiscard]] counts count() const;

private:
  struct place {
    address_prefix site;
    bool linked{false};
    std::uint64_t since{0};
    std::uint64_t number{0}; ///< in the order of entering
  };

  void forget_late(std::uint64_t now_s);
  [[nodiscard]] std::size_t of_site(const address_prefix& site) const;
  /// False: no site has more than one of `site` would.
  [[nodiscard]] bool put_one_out_for(const address_prefix& site);

  std::map<node_id, place> places_;
  std::vector<node_id> gone_;
  std::uint64_t last_number_{0};
  counts count_;
};

} // namespace ovir::actors
