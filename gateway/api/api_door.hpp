#pragma once

#include "gateway/api/answer_shelf.hpp"
#include "gateway/api/completion_request.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/http_exchange.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::gateway {

/// What a small route of a door may look at.
struct door_view {
  const std::string& owner; ///< id of the key
  const std::vector<served_model>& models;
  answer_shelf& kept;
  std::string_view version; ///< of this program
};

/// Another API for the same requests. It has no state; its routes are the endpoint's.
class api_door {
public:
  virtual ~api_door() = default;

  /// "POST" or "GET, DELETE"; empty: the path is none of this door.
  [[nodiscard]] virtual std::string_view methods(std::string_view path) const = 0;
  /// Whether bodies of this path are for `read`.
  [[nodiscard]] virtual bool reads(std::string_view path) const = 0;
  /// A path for all, without a key.
  [[nodiscard]] virtual bool is_open(std::string_view path) const {
    static_cast<void>(path);
    return false;
  }
  /// Whether a body may come without the type of JSON.
  [[nodiscard]] virtual bool takes_any_type() const { return false; }

  /// A body as a request, with a form. On another thread. `kept`: the asker's. Errors name the
  /// parameter as this door calls it.
  [[nodiscard]] virtual api_result<completion_request>
  read(std::string_view path, std::string_view body, std::chrono::milliseconds usual_deadline,
       const answer_shelf::owned& kept) const = 0;
  /// The reply of a path that is not for `read`.
  [[nodiscard]] virtual http_reply reply(const http_request& request,
                                         const door_view& view) const = 0;
  /// The body that tells an error.
  [[nodiscard]] virtual std::string error_body(const api_error& why) const = 0;
};

} // namespace ovir::gateway
