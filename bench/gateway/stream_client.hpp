#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace ovir::bench {

struct place {
  boost::asio::ip::tcp::endpoint at;
  std::string host; ///< HOST:PORT as requests name it
  std::string key;  ///< API key; empty: none is sent
};

/// What became of one request.
struct stream_outcome {
  int status{0};       ///< 0: no answer came
  bool whole{false};   ///< a stream with every token in order and its end
  bool may_try{false}; ///< it said when to ask again (Retry-After)
  std::string error;   ///< what was wrong with it; empty where nothing was
  std::string ending;  ///< finish_reason
  std::string transcript;
  std::uint32_t tokens{0};
  std::chrono::duration<double> first_token{0}; ///< since it was sent, as is the next
  std::chrono::duration<double> end{0};
};

/// A client of the API that asks one request after another and checks what it is told. Everything
/// happens on the thread of the context.
class stream_client {
public:
  virtual ~stream_client() = default;
  /// Sends a body and tells the outcome; one at a time. Where the connection is gone, another is
  /// made. `on_token` is called for each token and may be empty.
  virtual void ask(std::string body, std::function<void()> on_token,
                   std::function<void(const stream_outcome&)> then) = 0;
  /// Ends the connection, and what is under way with it.
  virtual void close() = 0;
};

/// `keeps`: requests share a connection as long as the server lets them.
[[nodiscard]] std::shared_ptr<stream_client> make_stream_client(boost::asio::io_context& context,
                                                                place where, bool keeps);

} // namespace ovir::bench
