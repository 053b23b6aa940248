#pragma once

#include "messages/result.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ovir::bindings {

/// What is asked of an HTTP server.
struct exchange_question {
  std::string method; ///< GET, POST or DELETE
  std::string address;
  std::vector<std::string> fields; ///< "Name: value", without control characters
  std::optional<std::string> body;
  std::chrono::milliseconds silence{60'000}; ///< how long nothing may come
};

/// One question and its answer over HTTP/1.1 by libcurl, without a proxy and redirections; over
/// TLS the server's certificate must be good for its name. One thread.
class http_exchange {
public:
  /// Asks and reads the head. `peer_lost` or `timed_out`; `unsupported` where the certificate is
  /// not good, or without libcurl.
  [[nodiscard]] static result<std::unique_ptr<http_exchange>>
  ask(const exchange_question& question);

  virtual ~http_exchange() = default;
  http_exchange(const http_exchange&) = delete;
  http_exchange& operator=(const http_exchange&) = delete;

  [[nodiscard]] virtual unsigned status() const noexcept = 0;
  /// The next bytes of the body; none at its end. `peer_lost` where the connection ends before.
  [[nodiscard]] virtual result<std::string> read() = 0;

protected:
  http_exchange() = default;
};

} // namespace ovir::bindings
