#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ovir::test {

struct http_answer {
  int status{0};                             ///< 0: no answer came
  std::map<std::string, std::string> fields; ///< by lower-case name
  std::string body;
};

/// A connection that says exactly what it is told, whether that is HTTP or not. Every wait ends.
class http_socket {
public:
  /// To a port of this machine; throws when nobody listens. `unread_bytes_max`: what the system
  /// takes for us while we do not read; 0: as it likes.
  explicit http_socket(std::uint16_t port, int unread_bytes_max = 0);
  ~http_socket();
  http_socket(http_socket&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  http_socket(const http_socket&) = delete;
  http_socket& operator=(const http_socket&) = delete;

  /// False when the other side is gone.
  bool send(std::string_view bytes) const;
  /// The next answer, whole.
  [[nodiscard]] http_answer answer();
  /// What came, once it holds `text` or the other side is done.
  [[nodiscard]] std::string read_until(std::string_view text);
  /// Everything until the other side closes; empty when it does not.
  [[nodiscard]] std::optional<std::string> read_to_end();
  void close();

private:
  /// More bytes into `read_`; false at the end or after a long time.
  bool more();

  int socket_{-1};
  std::string read_;
};

using http_fields = std::vector<std::pair<std::string, std::string>>;

/// The bytes of a request of HTTP/1.1 with Host and, where there is a body, type and length.
[[nodiscard]] std::string http_text(std::string_view method, std::string_view path,
                                    std::string_view body = {}, const http_fields& fields = {});

/// One request on a connection of its own.
[[nodiscard]] http_answer http_ask(std::uint16_t port, std::string_view method,
                                   std::string_view path, std::string_view body = {},
                                   const http_fields& fields = {});

/// An event of a stream.
struct http_event {
  std::string id;
  std::string data;
};
[[nodiscard]] std::vector<http_event> http_events(const std::string& body);

/// Waits until /ready says so.
void wait_until_ready(std::uint16_t port);

} // namespace ovir::test
