#pragma once

#include "actors/nat/nat_message.hpp"
#include "messages/address_prefix.hpp"
#include "messages/limits/nat.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>

namespace ovir::actors {

/// At which addresses members see this node, all for the same port of it. One member is not
/// believed: a host counts when members of limits::seen_sites_least different sites (`site_of`) say
/// it, and more than say any other. Pure; owned by one thread.
class seen_addresses {
public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit seen_addresses(const node_id& self) : self_(self) {}

  /// `by`, at `site`, says where it sees this node. `digest_mismatch` when it did not sign that.
  /// Counts for limits::seen_lifetime; of limits::seen_told_max the oldest gives way.
  [[nodiscard]] result<void> told(const node_id& by, const address_prefix& site,
                                  const address_seen& what, time_point now);

  /// This node's host as the network outside knows it; none while too few agree.
  [[nodiscard]] std::optional<std::string> host(time_point now) const;
  /// HOST:PORT, where those who say the host also agree on the port.
  [[nodiscard]] std::optional<std::string> address(time_point now) const;
  /// `independent` and `dependent` need the host, and tell whether its sites say one port.
  [[nodiscard]] nat_mapping mapping(time_point now) const;
  [[nodiscard]] std::size_t size() const noexcept { return told_.size(); }

private:
  struct word {
    address_prefix site;
    std::string address;
    time_point at;
  };

  node_id self_;
  std::map<node_id, word> told_;
};

} // namespace ovir::actors
