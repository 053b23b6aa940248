#include "actors/nat/port_lease.hpp"

#include "actors/nat/address_rules.hpp"
#include "actors/nat/nat_message.hpp"

#include <algorithm>

namespace ovir::actors {

void port_lease::mapped(const mapped_port& port, time_point now) {
  // A router may answer anything. An address inside is that of a router behind another router.
  const auto prefix = is_numeric_address(port.address) ? prefix_of_address(port.address)
                                                       : std::optional<address_prefix>{};
  if (!prefix || !is_public(*prefix)) {
    failed(fail(errc::unsupported, "the router maps the port to {}, which is no public address",
                prefix ? port.address : "what is no address"),
           now);
    held_ = true; // to be taken back all the same
    return;
  }
  const bool for_ever = port.lease.count() == 0;
  const auto lease = for_ever ? limits::port_lease : std::max(port.lease, limits::port_lease_least);
  held_ = true;
  address_ = port.address;
  ends_ = for_ever ? std::nullopt : std::optional{now + lease};
  next_ = now + lease / 2;
  wait_ = limits::router_retry_wait;
  finding_ = fmt::format("mapped to {} by {}", address_, port.by);
}

void port_lease::failed(const error& reason, time_point now) {
  // A lease that still lasts is not lost because of one answer that is.
  if (!address(now)) {
    held_ = false;
    address_.clear();
    finding_ = reason.message;
  }
  next_ = now + wait_;
  wait_ = std::min(wait_ * 2, limits::router_retry_wait_max);
}

std::optional<std::string> port_lease::address(time_point now) const {
  return held_ && !address_.empty() && (!ends_ || now < *ends_) ? std::optional{address_}
                                                                : std::nullopt;
}

} // namespace ovir::actors
