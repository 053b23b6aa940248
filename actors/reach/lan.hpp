#pragma once

#include "actors/reach/announcement.hpp"
#include "actors/reach/found_table.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ovir::actors {

/// Where a node that announces itself is.
struct announced_place {
  std::string name; ///< of the service and of the host: letters, digits and '-', at most 40
  std::string host; ///< numeric; empty: every address that the machine has
  std::uint16_t port{0};
};

/// A node's announcement: it stands while this lives. Its destruction tells the network goodbye.
class announced {
public:
  virtual ~announced() = default;
};

/// How a search ended.
struct search_end {
  std::size_t left_out{0}; ///< announcements beyond limits::lan_services_max
};

/// The local network, as far as nodes tell it of themselves. Tests put another one in its place.
class lan {
public:
  virtual ~lan() = default;

  /// `warn` gets a sentence for each thing that goes wrong later, from any thread, at most
  /// limits::lan_renames_max times; it outlives what is returned. An error where the machine has no
  /// such network.
  [[nodiscard]] virtual result<std::unique_ptr<announced>>
  announce(const announcement& told, const announced_place& place,
           std::function<void(const std::string&)> warn) = 0;

  /// Calls `found` for each announcement, once for every interface, protocol and address, in the
  /// calling thread. Ends when the network has told what it knows, after `longest`, or when `stop`
  /// returns true.
  [[nodiscard]] virtual result<search_end> search(std::chrono::milliseconds longest,
                                                  const std::function<void(const sighting&)>& found,
                                                  const std::function<bool()>& stop) = 0;
};

/// By multicast DNS, with a responder of its own: it needs no daemon, and stands beside one. One
/// thread for each announcement, none for a search.
[[nodiscard]] std::unique_ptr<lan> make_avahi_lan();

} // namespace ovir::actors
