#include "apps/ovir/node/lan_announce.hpp"

#include "apps/ovir/base/node_address.hpp"
#include "messages/address_prefix.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace ovir::apps {

namespace {

constexpr std::size_t name_digits = 16; ///< of the node's key, in what it is called there

enum class host_kind : std::uint8_t { name, this_machine, address };

host_kind kind_of(const std::string& host) {
  in_addr four{};
  if (::inet_pton(AF_INET, host.c_str(), &four) == 1) {
    return is_this_machine(prefix_of(ntohl(four.s_addr))) ? host_kind::this_machine
                                                          : host_kind::address;
  }
  std::array<unsigned char, 16> six{};
  if (::inet_pton(AF_INET6, host.c_str(), six.data()) == 1) {
    return is_this_machine(prefix_of(six)) ? host_kind::this_machine : host_kind::address;
  }
  return host == "localhost" ? host_kind::this_machine : host_kind::name;
}

/// Without the brackets of an IPv6 address.
std::string host_in(const std::string& address) {
  std::string host = address.substr(0, std::min(address.rfind(':'), address.size()));
  return host.size() > 2 && host.front() == '[' ? host.substr(1, host.size() - 2) : host;
}

std::uint16_t port_in(const std::string& address) {
  std::uint16_t port = 0;
  const std::size_t colon = std::min(address.rfind(':'), address.size() - 1);
  std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  return port;
}

} // namespace

std::optional<lan_notice> notice_of(const supervision::node_options& how,
                                    const std::string& listening, const node_id& node) {
  if (!how.announce || how.admins.empty() || listening.empty()) {
    return std::nullopt;
  }
  // Where others are to come, if that is told as an address: else where it listens.
  std::string place = listening;
  if (!how.advertise.empty() && kind_of(host_in(how.advertise)) == host_kind::address) {
    place = how.advertise;
  }
  std::string host = host_in(place);
  if (is_wildcard(place) || kind_of(host) == host_kind::name) {
    host.clear(); // every address that the machine has
  } else if (kind_of(host) == host_kind::this_machine) {
    return std::nullopt;
  }
  return lan_notice{{how.cluster, how.admins.front(), !how.open},
                    {"ovir-" + to_hex(node).substr(0, name_digits), host, port_in(place)}};
}

std::unique_ptr<actors::announced> announce_node(actors::lan& where,
                                                 const supervision::node_options& how,
                                                 const std::string& listening, const node_id& node,
                                                 actors::log& journal) {
  const auto notice = notice_of(how, listening, node);
  if (!notice) {
    return nullptr;
  }
  auto made = where.announce(notice->told, notice->place, [&journal](const std::string& text) {
    journal.write(actors::log_level::warn, std::nullopt, text);
  });
  if (!made) {
    journal.say(actors::log_level::warn, std::nullopt,
                "the local network hears nothing of this node: {}; others join by its line",
                made.error().message);
    return nullptr;
  }
  journal.say(actors::log_level::info, std::nullopt,
              "announced to the local network as {}, with the cluster's name and key and port {}",
              notice->place.name, notice->place.port);
  return std::move(*made);
}

} // namespace ovir::apps
