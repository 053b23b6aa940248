#include "tests/support/http_client.hpp"

#include "tests/support/slowness.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <stdexcept>

namespace ovir::test {

namespace {

constexpr int patience_ms = slowness * 60'000; ///< far longer than any answer takes
constexpr int ready_pause_ms = 50;
constexpr int ready_tries = slowness * 1'200;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// The chunks of `text` from `at` on; nothing while the last one is not there.
std::optional<std::pair<std::string, std::size_t>> chunks_at(const std::string& text,
                                                             std::size_t at) {
  std::string body;
  while (true) {
    const std::size_t line = text.find("\r\n", at);
    if (line == std::string::npos) {
      return std::nullopt;
    }
    const std::size_t size = std::strtoull(text.c_str() + at, nullptr, 16);
    if (text.size() < line + 2 + size + 2) {
      return std::nullopt;
    }
    body += text.substr(line + 2, size);
    at = line + 2 + size + 2;
    if (size == 0) {
      return std::pair{body, at};
    }
  }
}

} // namespace

http_socket::http_socket(std::uint16_t port, int unread_bytes_max)
    : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
  if (unread_bytes_max > 0) {
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &unread_bytes_max, sizeof unread_bytes_max);
  }
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close();
    throw std::runtime_error(fmt::format("nobody listens on port {}", port));
  }
}

http_socket::~http_socket() { close(); }

void http_socket::close() {
  if (socket_ >= 0) {
    ::close(std::exchange(socket_, -1));
  }
}

bool http_socket::send(std::string_view bytes) const {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool http_socket::more() {
  pollfd ready{socket_, POLLIN, 0};
  if (::poll(&ready, 1, patience_ms) <= 0) {
    return false;
  }
  std::array<char, 16'384> bytes{};
  const ssize_t size = ::recv(socket_, bytes.data(), bytes.size(), 0);
  if (size <= 0) {
    return false;
  }
  read_.append(bytes.data(), static_cast<std::size_t>(size));
  return true;
}

std::string http_socket::read_until(std::string_view text) {
  while (read_.find(text) == std::string::npos && more()) {
  }
  return read_;
}

std::optional<std::string> http_socket::read_to_end() {
  while (more()) {
  }
  pollfd ready{socket_, POLLIN, 0};
  return ::poll(&ready, 1, 0) > 0 ? std::optional{read_} : std::nullopt;
}

http_answer http_socket::answer() {
  http_answer out;
  (void)read_until("\r\n\r\n");
  const std::size_t end = read_.find("\r\n\r\n");
  if (end == std::string::npos || !read_.starts_with("HTTP/1.")) {
    return out;
  }
  out.status = std::atoi(read_.c_str() + 9);
  std::size_t at = read_.find("\r\n") + 2;
  while (at < end) {
    const std::size_t line_end = read_.find("\r\n", at);
    const std::string line = read_.substr(at, line_end - at);
    const std::size_t colon = line.find(": ");
    out.fields[lower(line.substr(0, colon))] = line.substr(colon + 2);
    at = line_end + 2;
  }
  std::size_t next = end + 4;
  if (out.fields.contains("transfer-encoding")) {
    auto chunks = chunks_at(read_, next);
    while (!chunks && more()) {
      chunks = chunks_at(read_, next);
    }
    if (chunks) {
      std::tie(out.body, next) = *chunks;
    } else {
      out.body = read_.substr(next);
      next = read_.size();
    }
  } else {
    const std::size_t length = std::strtoull(out.fields["content-length"].c_str(), nullptr, 10);
    while (read_.size() < next + length && more()) {
    }
    out.body = read_.substr(next, length);
    next = std::min(read_.size(), next + length);
  }
  read_.erase(0, next);
  return out;
}

std::string http_text(std::string_view method, std::string_view path, std::string_view body,
                      const http_fields& fields) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n", method, path);
  for (const auto& [name, value] : fields) {
    text += fmt::format("{}: {}\r\n", name, value);
  }
  if (!body.empty()) {
    text += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", body.size());
  }
  return text + "\r\n" + std::string{body};
}

http_answer http_ask(std::uint16_t port, std::string_view method, std::string_view path,
                     std::string_view body, const http_fields& fields) {
  http_socket socket{port};
  socket.send(http_text(method, path, body, fields));
  return socket.answer();
}

std::vector<http_event> http_events(const std::string& body) {
  std::vector<http_event> events;
  std::string id;
  std::size_t at = 0;
  while (at < body.size()) {
    const std::size_t end = std::min(body.find('\n', at), body.size());
    const std::string line = body.substr(at, end - at);
    at = end + 1;
    if (line.starts_with("id: ")) {
      id = line.substr(4);
    } else if (line.starts_with("data: ")) {
      events.push_back({std::exchange(id, {}), line.substr(6)});
    }
  }
  return events;
}

void wait_until_ready(std::uint16_t port) {
  for (int i = 0; i < ready_tries; ++i) {
    try {
      if (http_ask(port, "GET", "/ready").status == 200) {
        return;
      }
    } catch (const std::runtime_error&) { // not yet listening
    }
    ::poll(nullptr, 0, ready_pause_ms);
  }
  throw std::runtime_error("the gateway does not become ready");
}

} // namespace ovir::test
