#pragma once

#include "messages/address_prefix.hpp"
#include "messages/limits/strangers.hpp"
#include "messages/node_id.hpp"

#include <algorithm>
#include <compare>
#include <cstddef>
#include <map>
#include <string_view>

namespace ovir::actors {

/// The /24 or /48 of HOST:PORT as a node writes it; a name is a site of its own. Decides nothing
/// but shares: anybody may write any address.
[[nodiscard]] address_prefix claimed_site(std::string_view address) noexcept;

/// Where what is known of a stranger comes from.
struct stranger_origin {
  node_id introducer;             ///< who told of it first; itself, where it came by itself
  bool by_stranger{false};        ///< the introducer is one, too
  address_prefix introducer_site; ///< where it was seen
  address_prefix site;            ///< of the stranger: where it was seen, else as it says
  bool seen{false};

  friend bool operator==(const stranger_origin&, const stranger_origin&) = default;
};

/// Which part of a table of members keys without leave may fill: in all, of one site, and told of
/// by one introducer, where all strangers of one site are one introducer. So no peer and no network
/// decides alone whom a node knows. A core; not thread-safe.
class stranger_shares {
public:
  [[nodiscard]] bool has_room(const stranger_origin& from) const;
  /// The table is full of what others told, and of those told of by who tells of this one are few:
  /// one of whom told of most makes room for it.
  [[nodiscard]] bool has_fair_claim(const stranger_origin& from) const;
  [[nodiscard]] bool is_full() const noexcept;
  /// Also beyond the room, for one that is here itself. It is none yet.
  void enter(const node_id& node, const stranger_origin& from);
  /// It has a link: its site is where it was seen.
  void seen_at(const node_id& node, const address_prefix& site);
  void leave(const node_id& node);

  [[nodiscard]] const stranger_origin* of(const node_id& node) const;
  [[nodiscard]] std::size_t size() const noexcept { return all_.size(); }
  [[nodiscard]] std::size_t of_site(const address_prefix& site) const;
  /// Calls `act` with each stranger of this site.
  template <class Act>
  void each_of(const address_prefix& site, Act act) const {
    for (const auto& [node, from] : all_) {
      if (from.site == site) {
        act(node);
      }
    }
  }

  /// Who is to blame for what an introducer told.
  struct account {
    node_id node;
    address_prefix site;
    friend auto operator<=>(const account&, const account&) = default;
  };
  [[nodiscard]] static account account_of(const stranger_origin& from) noexcept {
    return from.by_stranger ? account{{}, from.introducer_site} : account{from.introducer, {}};
  }
  /// Calls `act` with each that the introducer of most told of.
  template <class Act>
  void each_of_largest(Act act) const {
    const auto most =
        std::max_element(told_.begin(), told_.end(),
                         [](const auto& a, const auto& b) { return a.second < b.second; });
    for (const auto& [node, from] : all_) {
      if (account_of(from) == most->first) {
        act(node);
      }
    }
  }

private:
  std::map<node_id, stranger_origin> all_;
  std::map<address_prefix, std::size_t> sites_;
  std::map<account, std::size_t> told_;
};

} // namespace ovir::actors
