#pragma once

#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::actors {

/// The type of service under which nodes are found.
inline constexpr std::string_view lan_service_type = "_ovir._tcp";

/// What a node tells its local network about its cluster, in the strings of a TXT record
/// (docs/formats/announcement.md). A hint that is trusted for nothing.
struct announcement {
  std::string cluster; ///< 1 to limits::cluster_name_bytes_max printable bytes
  node_id key;         ///< what signs leave to join the cluster; never zero
  bool asks{true};     ///< for an invitation

  friend bool operator==(const announcement&, const announcement&) = default;
};

/// Precondition: within the bounds above.
[[nodiscard]] std::vector<std::string> to_txt(const announcement& told);
/// The strings may have any order, and those with other keys do not count. `unsupported` for
/// another version, `over_limit` beyond limits/lan.hpp, `malformed` for a key told twice and for
/// all else.
[[nodiscard]] result<announcement> announcement_from(std::span<const std::string> txt);

} // namespace ovir::actors
