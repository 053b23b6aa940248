#pragma once

#include "gateway/access/api_key_file.hpp"
#include "gateway/api/account_routes.hpp"
#include "gateway/api/answer_routes.hpp"
#include "gateway/api/api_surroundings.hpp"
#include "gateway/api/open_calls.hpp"
#include "gateway/http/http_exchange.hpp"

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace ovir::gateway {

/// The endpoint: who may ask what, and its routes. On the server's thread alone.
class application final : public http_handler, public api_asker {
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
  std::optional<std::size_t> body_bytes_for(const http_request& head) const override;
  void serve(http_request request, std::shared_ptr<http_exchange> exchange) override;
  http_reply refuse_malformed(int status, std::string_view why) override;
  void tick() override;

  ask_start ask(std::string_view key_id, http_request request,
                const std::shared_ptr<http_exchange>& exchange, bool may_run) override;
  void give_up(std::string_view key_id, request_id id) override;
  http_reply counted(http_reply reply) override { return replies_.counted(std::move(reply)); }

private:
  // Access
  [[nodiscard]] api_result<api_key> key_of(const http_request& request) const;
  /// By its id; none: it is unknown or was revoked.
  [[nodiscard]] std::optional<api_key> key_called(std::string_view id) const;
  [[nodiscard]] std::optional<api_error> check_origin(const http_request& request) const;
  [[nodiscard]] std::optional<api_error> refuse_route(const http_request& request,
                                                      const api_door* door) const;
  [[nodiscard]] std::optional<api_error> refuse_caller(const http_request& head,
                                                       const api_door* door);

  /// Whether the path is the annex's.
  [[nodiscard]] bool in_annex(std::string_view path) const;
  /// The methods of a path; empty: there is no such path.
  [[nodiscard]] std::string_view methods_of(std::string_view path, const api_door* door) const;
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
