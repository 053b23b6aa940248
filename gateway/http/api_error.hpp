#pragma once

#include "messages/error.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace ovir::gateway {

/// Why a client's request is refused, as OpenAI's clients read it.
struct api_error {
  int status{500};     ///< of HTTP
  std::string type;    ///< "invalid_request_error", ...
  std::string param;   ///< the parameter at fault; empty: none
  std::string code;    ///< for programs; empty: none
  std::string message; ///< one sentence for a person
  std::optional<std::chrono::seconds> retry_after{};
};

/// A value, or why the client does not get it.
template <class T>
using api_result = std::variant<T, api_error>;

/// 400, naming the parameter.
[[nodiscard]] api_error bad_parameter(std::string_view param, std::string message);
/// 400 with code "unsupported_parameter": known, and cannot be honoured.
[[nodiscard]] api_error unsupported_parameter(std::string_view param, std::string_view why);
/// Any status; types follow from it.
[[nodiscard]] api_error refusal(int status, std::string_view code, std::string message);
/// What the cluster said. `param` is used where the request itself is at fault.
[[nodiscard]] api_error from_error(const error& reason, std::string_view param = {});

/// {"error": {"message", "type", "param", "code"}}
[[nodiscard]] std::string body_of(const api_error& e);

} // namespace ovir::gateway
