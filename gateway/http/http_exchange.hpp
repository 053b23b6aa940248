#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What the application sees of HTTP, and the server of the application.
namespace ovir::gateway {

struct http_request {
  std::string method;
  std::string path;                                       ///< without the query
  std::string query;                                      ///< behind the "?"
  std::map<std::string, std::string, std::less<>> fields; ///< by lower-case name
  std::string body;

  /// Empty when there is no such field. `name` in lower case.
  [[nodiscard]] std::string_view field(std::string_view name) const {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string_view{} : std::string_view{found->second};
  }
};

struct http_reply {
  int status{200};
  std::string content_type{"application/json"};
  std::string body;
  std::vector<std::pair<std::string, std::string>> fields{};
};

/// One request and its answer. Every call and callback is on the server's thread.
class http_exchange {
public:
  virtual ~http_exchange() = default;
  /// The whole answer; once, and nothing else after it.
  virtual void reply(http_reply answer) = 0;
  /// An answer in pieces: its head, whose body is empty, then pieces, then the end.
  virtual void begin_stream(http_reply head) = 0;
  virtual void send(std::string piece) = 0;
  virtual void end_stream() = 0;
  /// Called when the client is gone, or too slow, before the answer ended; nothing is sent any
  /// more.
  virtual void when_gone(std::function<void()> gone) = 0;
  /// Calls `room` once, when the pieces sent so far are in the system's hands: who sends much waits
  /// for it, so that little of it is in memory. Not called for a client that is gone.
  virtual void when_room(std::function<void()> room) { room(); }
};

/// Answers requests. Every call is on the server's thread.
class http_handler {
public:
  virtual ~http_handler() = default;
  /// Looks at a request before its body is read.
  [[nodiscard]] virtual std::optional<http_reply> refuse_early(const http_request& head) = 0;
  /// Most bytes of this request's body, up to limits::upload_bytes_max; none: the server's usual
  /// number. Looked at before `refuse_early`.
  [[nodiscard]] virtual std::optional<std::size_t> body_bytes_for(const http_request& head) const {
    static_cast<void>(head);
    return std::nullopt;
  }
  virtual void serve(http_request request, std::shared_ptr<http_exchange> exchange) = 0;
  /// The answer to what is no request of HTTP/1.1, or came too slowly; with 503, to one that there
  /// is no place for; with 403, to one that a page of elsewhere may have sent.
  [[nodiscard]] virtual http_reply refuse_malformed(int status, std::string_view why) = 0;
  /// Now and then, for deadlines.
  virtual void tick() = 0;
};

} // namespace ovir::gateway
