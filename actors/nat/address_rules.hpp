#pragma once

#include "messages/address_prefix.hpp"
#include "messages/node_id.hpp"

#include <optional>
#include <string>
#include <vector>

/// What is believed of addresses that peers tell. Pure.
namespace ovir::actors {

/// Of a numeric HOST:PORT; none for other texts.
[[nodiscard]] std::optional<address_prefix> prefix_of_address(const std::string& address);
/// "203.0.113.7" of "203.0.113.7:7300"; empty for what is no address.
[[nodiscard]] std::string host_of(const std::string& address);
/// Of a network that routers do not pass on: 10/8, 172.16/12, 192.168/16, 100.64/10, 169.254/16,
/// fc00::/7, fe80::/10.
[[nodiscard]] bool is_private(const address_prefix& prefix);
/// Neither private nor of this machine.
[[nodiscard]] bool is_public(const address_prefix& prefix);

/// Which of the addresses that came with a meeting are dialled. The first one is where the helper
/// sees the other node. Others count only on the same host, or where both nodes stand behind the
/// same router (the helper sees both on one host) and the address is private: a member cannot make
/// this node dial a third party. Addresses of this machine count only where the helper sees this
/// node on it. At most limits::nat_addresses_max, each once.
[[nodiscard]] std::vector<std::string> usable_addresses(const std::vector<std::string>& told,
                                                        const std::string& own_seen);
/// The same of UDP addresses: those on the host where the helper sees the other node's connection
/// (the first of `told`), or private ones behind the same router.
[[nodiscard]] std::vector<std::string> usable_udp_addresses(const std::vector<std::string>& told,
                                                            const std::vector<std::string>& udp,
                                                            const std::string& own_seen);

/// In which order helpers are taken for a node: the same on every node that knows the same helpers.
/// Less is earlier.
[[nodiscard]] std::uint64_t helper_rank(const node_id& helper, const node_id& node);

} // namespace ovir::actors
