#pragma once

#include "actors/nat/router.hpp"
#include "messages/limits/nat.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace ovir::actors {

/// When a port is to be mapped again, and what came of it. A lease is renewed after half of its
/// time; a router that does not answer is asked again after limits::router_retry_wait, and then
/// after twice as long each time, up to limits::router_retry_wait_max. Pure.
class port_lease {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Whether the router is to be asked now.
  [[nodiscard]] bool is_due(time_point now) const { return now >= next_; }
  void mapped(const mapped_port& port, time_point now);
  void failed(const error& reason, time_point now);

  /// Where the port is mapped, while the lease lasts.
  [[nodiscard]] std::optional<std::string> address(time_point now) const;
  /// For people: "mapped to 203.0.113.7:7300 by NAT-PMP", or why not.
  [[nodiscard]] const std::string& finding() const noexcept { return finding_; }
  /// Whether there is something to take back.
  [[nodiscard]] bool is_held() const noexcept { return held_; }

private:
  time_point next_{};
  std::optional<time_point> ends_{}; ///< none: never, while `held_`
  std::string address_;
  std::string finding_{"no router was asked yet"};
  std::chrono::seconds wait_{limits::router_retry_wait};
  bool held_{false};
};

} // namespace ovir::actors
