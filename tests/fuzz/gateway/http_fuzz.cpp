#include "gateway/http/http_connection.hpp"
#include "messages/limits/gateway.hpp"

#include <boost/asio/io_context.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

namespace {

namespace asio = boost::asio;
using namespace ovir::gateway;
namespace limits = ovir::limits;

constexpr std::size_t body_bytes_max = 4'096;
constexpr auto page = "<answer>";

void require(bool promise) {
  if (!promise) {
    std::abort();
  }
}

bool is_token(std::string_view text) {
  return text.find_first_of(" \t\r\n\0:", 0, 6) == std::string_view::npos;
}

/// Answers what it is asked, whole or in pieces, and looks at what reaches it.
struct answering final : http_handler {
  std::optional<http_reply> refuse_early(const http_request& head) override {
    check(head);
    require(head.body.empty());
    if (head.path.ends_with("/no")) {
      ++early;
      http_reply reply;
      reply.status = 404;
      reply.body = page;
      return reply;
    }
    return std::nullopt;
  }
  void serve(http_request request, std::shared_ptr<http_exchange> exchange) override {
    check(request);
    require(request.body.size() <= body_bytes_max);
    // Where a body ends is what the head says, and it says so once.
    const bool chunked = request.fields.contains("transfer-encoding");
    const bool counted = request.fields.contains("content-length");
    require(!(chunked && counted));
    require(!counted || request.field("content-length").find_first_not_of("0123456789") ==
                            std::string_view::npos);
    require(chunked || counted || request.body.empty());
    ++served;
    http_reply reply;
    if (request.path.ends_with("/stream")) {
      exchange->begin_stream(reply);
      exchange->send(page);
      exchange->send("");
      exchange->end_stream();
    } else if (!request.path.ends_with("/never")) { // dropped: the connection ends
      reply.body = page;
      exchange->reply(std::move(reply));
    }
  }
  http_reply refuse_malformed(int status, std::string_view why) override {
    require(status >= 400 && status < 600 && !why.empty());
    ++malformed;
    http_reply reply;
    reply.status = status;
    reply.body = page;
    return reply;
  }
  void tick() override {}

  static void check(const http_request& request) {
    require(!request.method.empty() && is_token(request.method));
    require(request.path.size() + request.query.size() <= limits::http_path_bytes_max);
    require(request.fields.size() <= limits::http_fields_max);
    std::size_t bytes = 0;
    for (const auto& [name, value] : request.fields) {
      require(!name.empty() && is_token(name));
      require(value.find_first_of("\r\n\0", 0, 3) == std::string::npos);
      bytes += name.size() + value.size();
    }
    require(bytes <= 2 * limits::http_header_bytes_max);
  }

  std::size_t served{0};
  std::size_t early{0};
  std::size_t malformed{0};
};

std::string read_all(int socket) {
  std::string all;
  std::array<char, 4'096> bytes{};
  for (ssize_t size = 1; size > 0;) {
    size = ::recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT);
    all.append(bytes.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  }
  return all;
}

std::size_t count(const std::string& text, std::string_view what) {
  std::size_t times = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
    ++times;
  }
  return times;
}

} // namespace

// Sends any bytes over a connection, in pieces whose size the first byte says. Whatever reaches the
// endpoint is within its bounds and ends where its head says; each request that did has one answer,
// and what is no request ends the connection with one more at most.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) {
    return 0;
  }
  const std::size_t piece = data[0] == 0 ? size : data[0];
  int pair[2];
  require(::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  answering handler;
  http_options options;
  options.body_bytes_max = body_bytes_max;
  options.callers.keys_needed = data[0] % 2 == 0; // else by names that are its own alone
  http_shared shared{options, handler};
  std::string answers;
  {
    asio::io_context context{1};
    asio::ip::tcp::socket socket{context};
    socket.assign(asio::ip::tcp::v4(), pair[0]);
    socket.non_blocking(true);
    const auto connection = make_http_connection(std::move(socket), nullptr, shared);
    connection->begin();
    for (std::size_t at = 1; at < size && !connection->closed(); at += piece) {
      const std::size_t length = std::min(piece, size - at);
      if (::send(pair[1], data + at, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
        break;
      }
      while (context.poll() > 0) {
      }
      answers += read_all(pair[1]);
    }
    ::shutdown(pair[1], SHUT_WR);
    while (context.poll() > 0) {
    }
    answers += read_all(pair[1]);
    require(connection->closed()); // its client is gone, and nothing is under way
  }
  ::close(pair[1]);
  require(handler.malformed <= 1);
  require(answers.empty() || answers.starts_with("HTTP/1."));
  // Answers that are not written when the client goes are lost with it, so there may be fewer.
  require(count(answers, page) <= handler.served + handler.early + handler.malformed);
  return 0;
}
