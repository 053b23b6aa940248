#pragma once

#include "messages/result.hpp"

#include <cstdint>
#include <string>
#include <vector>

/// Where several nodes of one machine listen.
namespace ovir::apps {

/// Addresses of the first node, HOST:PORT; empty: not asked for.
struct wanted_places {
  std::uint32_t nodes{0};
  std::string listen;
  std::string shells;
  std::string http;
  bool with_http{true};
};

/// Where each of several nodes listens, by what for.
struct node_places {
  std::vector<std::string> listen;
  std::vector<std::string> shells;
  std::vector<std::string> http; ///< empty: no node answers HTTP
};

/// Each node's ports are one further. Places that were asked for come first: the others make way.
[[nodiscard]] result<node_places> divide_ports(const wanted_places& given);

} // namespace ovir::apps
