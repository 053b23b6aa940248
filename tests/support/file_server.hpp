#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ovir::test {

/// A request that came to a `file_server`, its head as it was sent.
struct file_request {
  std::string path;
  std::string range;    ///< the field's value; empty where there is none
  std::string if_range; ///< the same
};

/// What a `file_server` answers: these bytes, and then the end of the connection.
using file_answer = std::string;

/// An HTTP server on a free port of this machine that answers as a test says, truthfully or not.
/// One connection at a time, one answer for each.
class file_server {
public:
  /// `answer` is called on the server's thread with the number of the request, from 0.
  explicit file_server(std::function<file_answer(std::size_t number, const file_request&)> answer);
  ~file_server();
  file_server(const file_server&) = delete;
  file_server& operator=(const file_server&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  /// "http://127.0.0.1:PORT".
  [[nodiscard]] std::string address() const;
  /// Every request so far.
  [[nodiscard]] std::vector<file_request> requests() const;

private:
  struct parts;
  std::unique_ptr<parts> parts_;
  std::uint16_t port_{0};
};

/// A whole answer with a body, its length and these fields ("Name: value\r\n"...).
[[nodiscard]] file_answer http_bytes(int status, const std::string& fields,
                                     const std::string& body);
/// An honest answer to a request for a file with this ETag: ranges are served where If-Range fits.
[[nodiscard]] file_answer served_file(const file_request& request, const std::string& file,
                                      const std::string& etag);

} // namespace ovir::test
