#include "apps/ovir/node/local_places.hpp"

#include "apps/ovir/base/node_address.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <compare>
#include <limits>
#include <set>
#include <string_view>

namespace ovir::apps {

namespace {

// Where the first of several nodes is reached, unless there are so many that a later one would be
// reached at the same port.
constexpr std::uint32_t first_listen = 7301;
constexpr std::uint32_t first_shells = 7311;
constexpr std::uint32_t first_http = 7381;
/// Where a node alone is reached, such as the package's service: both may run.
constexpr std::array<std::uint32_t, 3> ports_of_one{7300, 7310, 7380};
constexpr std::string_view this_machine = "127.0.0.1";

/// HOST:PORT, taken apart.
struct host_port {
  std::string host;
  std::uint32_t port{0};

  friend auto operator<=>(const host_port&, const host_port&) = default;
};

std::string text_of(const host_port& place) { return fmt::format("{}:{}", place.host, place.port); }

/// As many places as there are nodes, each one port further; where they were not asked for, those
/// in `taken` are passed over. All of them are taken then.
result<std::vector<std::string>> places_for(std::string_view option, host_port first, bool asked,
                                            std::uint32_t nodes, std::set<host_port>& taken) {
  std::vector<std::string> places;
  for (; places.size() < nodes; ++first.port) {
    if (first.port > std::numeric_limits<std::uint16_t>::max()) {
      return fail(errc::invalid_argument,
                  "{}: there is no port {} for node {}; begin with a lower one", option, first.port,
                  places.size() + 1);
    }
    if (taken.insert(first).second) {
      places.push_back(text_of(first));
    } else if (asked) {
      return fail(errc::invalid_argument,
                  "{}: node {} would listen on {}, which another of these nodes uses; give each "
                  "of --listen, --shells and --http {} ports of its own",
                  option, places.size() + 1, text_of(first), nodes);
    }
  }
  return places;
}

} // namespace

result<node_places> divide_ports(const wanted_places& given) {
  node_places places;
  struct wanted {
    std::string_view option;
    const std::string& address; ///< empty: not asked for
    std::uint32_t otherwise;
    std::vector<std::string>& out;
  };
  const std::array<wanted, 3> all{wanted{"--listen", given.listen, first_listen, places.listen},
                                  wanted{"--shells", given.shells, first_shells, places.shells},
                                  wanted{"--http", given.http, first_http, places.http}};
  std::set<host_port> taken;
  for (const wanted& one : all) {
    if (one.address.empty()) {
      continue;
    }
    if (const auto good = check_address(one.address, address_use::connect); !good) {
      return in_context(fmt::format("{} {}", one.option, one.address), good.error());
    }
    const std::size_t colon = one.address.rfind(':');
    host_port first{one.address.substr(0, colon), 0};
    std::from_chars(one.address.data() + colon + 1, one.address.data() + one.address.size(),
                    first.port);
    OVIR_ASSIGN(one.out, places_for(one.option, first, true, given.nodes, taken));
  }
  for (const std::uint32_t port : ports_of_one) {
    taken.insert({std::string{this_machine}, port});
  }
  for (const wanted& one : all) {
    if (one.address.empty() && (one.option != "--http" || given.with_http)) {
      const host_port first{std::string{this_machine}, one.otherwise};
      OVIR_ASSIGN(one.out, places_for(one.option, first, false, given.nodes, taken));
    }
  }
  return places;
}

} // namespace ovir::apps
