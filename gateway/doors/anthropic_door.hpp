#pragma once

#include "gateway/api/api_door.hpp"

namespace ovir::gateway {

/// Anthropic's Messages: POST /v1/messages and /v1/messages/count_tokens.
class anthropic_door final : public api_door {
public:
  std::string_view methods(std::string_view path) const override;
  bool reads(std::string_view path) const override { return !methods(path).empty(); }
  api_result<completion_request> read(std::string_view path, std::string_view body,
                                      std::chrono::milliseconds usual_deadline,
                                      const answer_shelf::owned& kept) const override;
  http_reply reply(const http_request& request, const door_view& view) const override;
  std::string error_body(const api_error& why) const override;
};

} // namespace ovir::gateway
