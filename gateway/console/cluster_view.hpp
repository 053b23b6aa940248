#pragma once

#include <nlohmann/json.hpp>

#include <functional>
#include <string>

namespace ovir::gateway {

/// The node behind the endpoint, as a shell that only looks sees it. Calls come from the server's
/// thread.
class cluster_view {
public:
  /// The reply of the admin protocol (docs/formats/admin.md) to `command`: "ok", and "data" or
  /// "error". On the server's thread, once; never where the node ends before.
  using answer = std::function<void(const nlohmann::json& reply)>;

  virtual ~cluster_view() = default;
  virtual void look(const std::string& command, nlohmann::json args, answer done) = 0;
};

} // namespace ovir::gateway
