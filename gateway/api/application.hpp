#pragma once

#include "gateway/access/api_key_file.hpp"
#include "gateway/api/account_routes.hpp"
#include "gateway/api/answer_routes.hpp"
#include "gateway/api/api_surroundings.hpp"
#include "gateway/api/open_calls.hpp"
#include "gateway/http/http_exchange.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ovir::gateway {

/// The endpoint: who may ask what, and its routes. On the server's thread alone.
class application final : public http_handler {
public:
  application(const api_options& options, const api_surroundings& around);

  /// Replaces the keys: those revoked are refused from now on.
  void use_keys(known_keys keys);
  /// Takes nothing new any more.
  void drain() { draining_ = true; }
  [[nodiscard]] api_counts counts() const;
  /// The requests under way.
  [[nodiscard]] open_calls& calls() noexcept { return calls_; }

  std::optional<http_reply> refuse_early(const http_request& head) override;
  void serve(http_request request, std::shared_ptr<http_exchange> exchange) override;
  http_reply refuse_malformed(int status, std::string_view why) override;
  void tick() override { calls_.tick(); }

private:
  // Access
  [[nodiscard]] api_result<api_key> key_of(const http_request& request) const;
  [[nodiscard]] std::optional<api_error> check_origin(const http_request& request) const;
  [[nodiscard]] static std::optional<api_error> refuse_route(const http_request& request,
                                                             const api_door* door);
  [[nodiscard]] std::optional<api_error> refuse_caller(const http_request& head,
                                                       const api_door* door);

  /// Null: the path is OpenAI's, or none.
  [[nodiscard]] const api_door* door_of(std::string_view path) const;

  // Small routes
  [[nodiscard]] http_reply reply_of(const api_door& door, const http_request& request,
                                    const std::string& owner);
  [[nodiscard]] http_reply ready();
  [[nodiscard]] http_reply list_models();
  [[nodiscard]] http_reply show_model(std::string_view name);
  void show_metrics(const std::shared_ptr<http_exchange>& exchange);

  const api_surroundings around_;
  const bool keys_needed_;
  const std::string version_;
  known_keys keys_;
  reply_counter replies_;
  open_calls calls_;
  answer_routes answers_;
  account_routes accounts_;
  bool draining_{false};
};

} // namespace ovir::gateway
