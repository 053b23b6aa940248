#pragma once

#include "actors/link/network.hpp"
#include "actors/link/tls_network.hpp"
#include "messages/signing.hpp"

#include <memory>

namespace ovir::actors {

/// The links of a node over what `options.transport` says. With `quic`, TCP takes shells alone, on
/// `admin_listen` or else `listen`. With `automatic`, both listen on the same port; a connection is
/// tried over QUIC, and over TCP when no answer came within limits::quic_answer_wait or the system
/// says that nothing listens there; for limits::quic_unanswered_for the address is then not asked
/// again. Addresses of this machine and of private networks are reached over TCP: nothing is lost
/// there (`is_near`). A peer that answers and refuses is not tried again over TCP. A node
/// with which a link over QUIC stands is reached over it wherever it is. With `automatic`, `tcp` is
/// given the UDP socket (`nat_options::udp`), and a link over QUIC that it begins there takes the
/// place of the one that was wanted. As `tls_network::start`; `tcp` starts the links over TCP.
[[nodiscard]] result<std::unique_ptr<listening_network>> start_links(const secret_key& key,
                                                                     const tls_options& options,
                                                                     network_handler& handler,
                                                                     const network_starter& tcp);

} // namespace ovir::actors
