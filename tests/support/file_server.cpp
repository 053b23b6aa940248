#include "tests/support/file_server.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace ovir::test {

namespace {

/// The value of a field in a request's head; names are compared in lower case.
std::string field_of(const std::string& head, const std::string& name) {
  std::string lower = head;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::size_t at = lower.find("\r\n" + name + ": ");
  if (at == std::string::npos) {
    return {};
  }
  const std::size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

file_request request_from(const std::string& head) {
  const std::size_t path = head.find(' ') + 1;
  return {head.substr(path, head.find(' ', path) - path), field_of(head, "range"),
          field_of(head, "if-range")};
}

} // namespace

struct file_server::parts {
  std::function<file_answer(std::size_t, const file_request&)> answer;
  int listener{-1};
  std::atomic<bool> ending{false};
  mutable std::mutex lock;
  std::vector<file_request> requests;
  std::thread thread;

  void serve(int connection) {
    std::string head;
    char some[4096];
    while (head.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::recv(connection, some, sizeof some, 0);
      if (got <= 0) {
        return;
      }
      head.append(some, static_cast<std::size_t>(got));
    }
    const file_request request = request_from(head);
    std::size_t number = 0;
    {
      const std::lock_guard guard{lock};
      number = requests.size();
      requests.push_back(request);
    }
    const std::string bytes = answer(number, request);
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t sent = ::send(connection, &bytes[at], bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) {
        return;
      }
      at += static_cast<std::size_t>(sent);
    }
    ::shutdown(connection, SHUT_WR);
    while (::recv(connection, some, sizeof some, 0) > 0) { // until the client has read it
    }
  }

  void run() {
    while (!ending.load()) {
      const int connection = ::accept(listener, nullptr, nullptr);
      if (connection >= 0) {
        if (!ending.load()) {
          serve(connection);
        }
        ::close(connection);
      }
    }
  }
};

file_server::file_server(std::function<file_answer(std::size_t, const file_request&)> answer)
    : parts_(std::make_unique<parts>()) {
  parts_->answer = std::move(answer);
  parts_->listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof place;
  auto* const address = reinterpret_cast<sockaddr*>(&place);
  if (::bind(parts_->listener, address, size) != 0 || ::listen(parts_->listener, 16) != 0 ||
      ::getsockname(parts_->listener, address, &size) != 0) {
    throw std::runtime_error("no port to listen on");
  }
  port_ = ntohs(place.sin_port);
  parts_->thread = std::thread{[this] { parts_->run(); }};
}

file_server::~file_server() {
  parts_->ending.store(true);
  ::shutdown(parts_->listener, SHUT_RDWR); // ends the wait for a connection
  parts_->thread.join();
  ::close(parts_->listener);
}

std::string file_server::address() const { return fmt::format("http://127.0.0.1:{}", port_); }

std::vector<file_request> file_server::requests() const {
  const std::lock_guard guard{parts_->lock};
  return parts_->requests;
}

file_answer http_bytes(int status, const std::string& fields, const std::string& body) {
  return fmt::format("HTTP/1.1 {} -\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), fields,
                     body);
}

file_answer served_file(const file_request& request, const std::string& file,
                        const std::string& etag) {
  const std::string fields = "ETag: " + etag + "\r\n";
  constexpr std::string_view from = "bytes=";
  if (request.range.starts_with(from) && (request.if_range.empty() || request.if_range == etag)) {
    const std::size_t first = std::stoull(request.range.substr(from.size()));
    if (first >= file.size()) {
      return http_bytes(416, fmt::format("Content-Range: bytes */{}\r\n", file.size()), "");
    }
    return http_bytes(206,
                      fields + fmt::format("Content-Range: bytes {}-{}/{}\r\n", first,
                                           file.size() - 1, file.size()),
                      file.substr(first));
  }
  return http_bytes(200, fields, file);
}

} // namespace ovir::test
