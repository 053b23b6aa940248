#pragma once

#include "apps/download_url.hpp"
#include "messages/result.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace ovir::apps {

/// What is asked of an address.
struct http_question {
  download_url url;
  std::uint64_t from{0}; ///< the first byte wanted
  std::string if_range;  ///< with `from`: the validator that the bytes before it had
};

/// What an answer says before its body.
struct http_head {
  unsigned status{0};
  std::optional<std::uint64_t> length; ///< of the body; empty where only its end says
  bool ends_with_connection{false};    ///< and where nothing tells an end from a break
  bool encoded{false};                 ///< the body is not the file's bytes (Content-Encoding)
  std::string range;                   ///< Content-Range
  std::string etag;
  std::string last_modified;
  std::string location;
  std::string linked_etag; ///< X-Linked-ETag: on hubs, of large files, their SHA-256
};

/// One GET over HTTP/1.1 by libcurl, through the proxy of the environment (http_proxy, https_proxy,
/// no_proxy), with TLS 1.2 or later where the address says so: the server's certificate
/// must be good for its name, by the authorities the system trusts (or those of SSL_CERT_FILE).
/// Every wait ends (limits_pull.hpp), soon after `interrupted` is set as well.
class http_get {
public:
  /// Connects, asks and reads the head. `timed_out`, `peer_lost` or `cancelled`; `unsupported` for
  /// a server whose certificate is not good, `malformed` for an answer that is not HTTP.
  [[nodiscard]] static result<std::unique_ptr<http_get>> ask(const http_question& question,
                                                             const std::atomic<bool>& interrupted);

  virtual ~http_get() = default;
  http_get(const http_get&) = delete;
  http_get& operator=(const http_get&) = delete;

  [[nodiscard]] virtual const http_head& head() const noexcept = 0;
  /// Some bytes of the body, at least one; 0 at its end. `peer_lost` where the connection ends
  /// before the body does.
  [[nodiscard]] virtual result<std::size_t> read(std::span<std::byte> out) = 0;

protected:
  http_get() = default;
};

/// Lets some time pass, less when `interrupted` is set meanwhile.
void pause_between_tries(std::chrono::milliseconds time, const std::atomic<bool>& interrupted);

} // namespace ovir::apps
