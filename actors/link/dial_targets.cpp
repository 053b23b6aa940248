#include "actors/link/dial_targets.hpp"

#include "actors/link/tls_host.hpp"
#include "messages/limits/strangers.hpp"

#include <algorithm>

namespace ovir::actors {

bool leads_here(const boost::asio::ip::tcp::endpoint& end) {
  return is_this_machine(prefix_of(end.address()));
}

std::vector<boost::asio::ip::tcp::endpoint>
dial_targets(const boost::asio::ip::tcp::resolver::results_type& found, std::uint64_t turn) {
  std::vector<boost::asio::ip::tcp::endpoint> ends{found.begin(), found.end()};
  if (!ends.empty()) {
    const auto first = static_cast<std::ptrdiff_t>(turn % ends.size());
    std::rotate(ends.begin(), ends.begin() + first, ends.end());
  }
  ends.resize(std::min(ends.size(), limits::addresses_per_name_max));
  return ends;
}

} // namespace ovir::actors
