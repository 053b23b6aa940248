#pragma once

#include "actors/link/tls_network.hpp"

#include <memory>

namespace ovir::actors {

/// `tls_network` that also reaches nodes behind routers, and lets others reach this one
/// (docs/adr/0045-nat.md). Members that this node has reached directly are its helpers: it can be
/// met at two of them, asks them about nodes that it does not reach, and does the same for others.
/// With the role relay it passes streams between members. A connection that comes about so is one
/// like any other for who uses the network: the same handshake, the same admission.
/// `nat_options::board` tells what was found.
///
/// One thread more, and one for the router. Where the node listens on this machine alone, or
/// `nat_options::enabled` is false, it is the plain network.
class reaching_network {
public:
  /// As `tls_network::start`.
  [[nodiscard]] static result<std::unique_ptr<listening_network>>
  start(const secret_key& key, const tls_options& options, network_handler& handler);
};

} // namespace ovir::actors
