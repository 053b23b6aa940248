#pragma once

#include <boost/asio/ip/tcp.hpp>

#include <cstdint>
#include <vector>

namespace ovir::actors {

/// An address that leads back to the machine that connects to it.
[[nodiscard]] bool leads_here(const boost::asio::ip::tcp::endpoint& end);

/// What of a name's addresses is tried, in which order: at most limits::addresses_per_name_max, in
/// each `turn` from another one on, so that a dead one is not for ever in front of the others.
[[nodiscard]] std::vector<boost::asio::ip::tcp::endpoint>
dial_targets(const boost::asio::ip::tcp::resolver::results_type& found, std::uint64_t turn);

} // namespace ovir::actors
