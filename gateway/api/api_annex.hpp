#pragma once

#include "gateway/access/api_keys.hpp"
#include "gateway/http/api_error.hpp"
#include "gateway/http/http_exchange.hpp"
#include "gateway/http/metrics.hpp"
#include "messages/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ovir::gateway {

/// Paths of the endpoint that have a state of their own. All calls are on the server's thread.
class api_annex {
public:
  virtual ~api_annex() = default;

  /// "POST" or "GET, DELETE"; empty: the path is none of these.
  [[nodiscard]] virtual std::string_view methods(std::string_view path) const = 0;
  /// As of `http_handler`.
  [[nodiscard]] virtual std::optional<std::size_t>
  body_bytes_for(const http_request& head) const = 0;
  /// Before the body is read, of a key that may infer. `draining`: this node is about to stop.
  [[nodiscard]] virtual std::optional<api_error> refuse(const http_request& head,
                                                        bool draining) const = 0;
  virtual void serve(http_request request, const api_key& key,
                     const std::shared_ptr<http_exchange>& exchange) = 0;
  virtual void tick() = 0;
  /// What it counts, behind what is there already.
  virtual void measure(metric_families& to) const = 0;
};

enum class ask_start : std::uint8_t {
  begun,
  no_room, ///< ask again later
  no_key   ///< the key is unknown or was revoked
};

/// What an annex may ask of the endpoint behind it.
class api_asker {
public:
  virtual ~api_asker() = default;

  /// Has a request of OpenAI's API answered as one of the key `key_id`, with the time that other
  /// requests leave, and paid as any of them. Its field "x-ovir-request" names it, and a request
  /// that is asked again under its name is gone on with. `may_run`: another node may drive it.
  /// What the exchange is told may come before this returns.
  [[nodiscard]] virtual ask_start ask(std::string_view key_id, http_request request,
                                      const std::shared_ptr<http_exchange>& exchange,
                                      bool may_run) = 0;
  /// Ends such a request, whose exchange is told so, unless it is only being read.
  virtual void give_up(std::string_view key_id, request_id id) = 0;
  /// A reply of the annex, which counts as one of the endpoint.
  [[nodiscard]] virtual http_reply counted(http_reply reply) = 0;
};

} // namespace ovir::gateway
