#pragma once

#include "actors/link/tls_network.hpp"

#include <memory>

namespace ovir::actors {

/// A network of links whose data connections between processes of one user on one machine go
/// through memory (docs/adr/0048-hand-overs.md): the links admit the peer, and end the connection;
/// between the two the messages take the memory as soon as both sides have it. Where one side
/// cannot or does not want to, or something stands between them that carries bytes, the connection
/// stays as it is. One thread more, which sleeps while there is no such link.
class shared_network {
public:
  /// As `links`, whose network it is where `options.shared_memory` is not set.
  [[nodiscard]] static result<std::unique_ptr<listening_network>>
  start(const secret_key& key, const tls_options& options, network_handler& handler,
        const network_starter& links);
};

} // namespace ovir::actors
