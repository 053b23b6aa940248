#pragma once

#include "messages/address_prefix.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::actors {

class nat_board;
class udp_door;

/// How a node is reached through NAT (actors/nat/reaching_network.hpp).
struct nat_options {
  bool enabled{true};
  bool maps_ports{false};          ///< asks the router to lead a port here
  bool meets{true};                ///< dials at the same time as the other node does
  bool everywhere{false};          ///< also where it listens on this machine alone: for tests
  bool takes_guests{false};        ///< set by `reaching_network`: others may ask this node for help
  std::shared_ptr<udp_door> udp{}; ///< set by `start_links`, where there are links over QUIC
  std::function<void(const std::string&)> say{}; ///< what was found, for the log; any thread
  std::shared_ptr<nat_board> board{};            ///< where what is found is kept; may be null
};

/// How others reach a node, as far as it knows. For people, beside the numbers.
struct nat_report {
  std::string verdict{}; ///< "reachable", "behind a router...", ...; empty: not looked at
  std::string outside{}; ///< its HOST or HOST:PORT as others see it; may be empty
  std::string router{};  ///< what its router says to mapping a port; may be empty
  std::vector<std::string> helpers{}; ///< short names of members where it can be met
  std::size_t relayed{0};             ///< members linked through a relay
  std::size_t guests{0};              ///< connections of those it helps
  std::size_t streams{0};             ///< that it relays for others
  std::uint64_t passed_bytes{0};      ///< of such streams, since it began

  friend bool operator==(const nat_report&, const nat_report&) = default;
};

/// A stream between two nodes that is there already, through a relay or by dialling each other.
struct ready_stream {
  int descriptor{-1};    ///< of a connected stream socket; who is given this closes it
  std::string where;     ///< the other end, for sentences
  address_prefix from{}; ///< counts as the other end's address
};

} // namespace ovir::actors
