#pragma once

#include "gateway/api/api_door.hpp"

namespace ovir::gateway {

/// Ollama's API below /api/, and its greeting at /.
class ollama_door final : public api_door {
public:
  std::string_view methods(std::string_view path) const override;
  bool reads(std::string_view path) const override;
  bool is_open(std::string_view path) const override { return path == "/"; }
  /// Its clients send bodies as they like; pages of elsewhere are refused before.
  bool takes_any_type() const override { return true; }
  api_result<completion_request> read(std::string_view path, std::string_view body,
                                      std::chrono::milliseconds usual_deadline,
                                      const answer_shelf::owned& kept) const override;
  http_reply reply(const http_request& request, const door_view& view) const override;
  std::string error_body(const api_error& why) const override;
};

} // namespace ovir::gateway
