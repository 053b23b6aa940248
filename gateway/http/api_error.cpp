#include "gateway/http/api_error.hpp"

#include "gateway/http/bounded_json.hpp"
#include "messages/limits/gateway.hpp"

namespace ovir::gateway {

namespace {

std::string_view type_of(int status) {
  switch (status) {
  case 401: return "authentication_error";
  case 403: return "permission_error";
  case 429: return "rate_limit_error";
  case 503: return "overloaded_error";
  default: break;
  }
  return status < 500 ? "invalid_request_error" : "server_error";
}

int status_of(errc code) {
  switch (code) {
  case errc::invalid_argument:
  case errc::malformed:
  case errc::over_limit:
  case errc::unsupported: return 400;
  case errc::not_found: return 404;
  case errc::superseded:
  case errc::cancelled: return 409;
  case errc::busy:
  case errc::peer_lost:
  case errc::segment_missing: return 503;
  case errc::timed_out: return 504;
  default: return 500;
  }
}

} // namespace

api_error refusal(int status, std::string_view code, std::string message) {
  api_error e;
  e.status = status;
  e.type = type_of(status);
  e.code = code;
  e.message = std::move(message);
  if (status == 429 || status == 503) {
    e.retry_after = limits::api_retry_after;
  }
  return e;
}

api_error bad_parameter(std::string_view param, std::string message) {
  api_error e = refusal(400, "invalid_value", std::move(message));
  e.param = param;
  return e;
}

api_error unsupported_parameter(std::string_view param, std::string_view why) {
  api_error e =
      refusal(400, "unsupported_parameter", fmt::format("'{}' cannot be honoured: {}", param, why));
  e.param = param;
  return e;
}

api_error from_error(const error& reason, std::string_view param) {
  api_error e = refusal(status_of(reason.code), to_string(reason.code), reason.message);
  if (e.status == 400) {
    e.param = param;
  }
  return e;
}

std::string body_of(const api_error& e) {
  const auto text_or_null = [](const std::string& text) {
    return text.empty() ? json(nullptr) : json(text);
  };
  return json{{"error",
               {{"message", e.message},
                {"type", e.type},
                {"param", text_or_null(e.param)},
                {"code", text_or_null(e.code)}}}}
      .dump(-1, ' ', false, json::error_handler_t::replace);
}

} // namespace ovir::gateway
