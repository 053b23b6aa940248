#include "apps/ovir/base/http_get.hpp"

#include "messages/limits/pull.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/rfc2818_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>

#include <limits>

namespace ovir::apps {

namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using tls_stream = asio::ssl::stream<beast::tcp_stream>;

/// How often a wait looks for an interruption.
constexpr std::chrono::milliseconds interruption_poll{100};
/// Certificates between the server's and an authority's.
constexpr int chain_depth_max = 8;

class one_get final : public http_get {
public:
  one_get(download_url url, const std::atomic<bool>& interrupted)
      : url_(std::move(url)), interrupted_(interrupted), secure_(io_, tls_),
        buffer_(limits::pull_header_bytes_max) {}

  [[nodiscard]] const http_head& head() const noexcept override { return head_; }
  [[nodiscard]] result<std::size_t> read(std::span<std::byte> out) override;
  result<void> begin(const http_question& question);

private:
  /// Starts what `start` starts and waits for its end.
  template <class Start>
  error_code wait(std::chrono::milliseconds longest, Start start);
  /// Calls `use` with the stream of this address.
  template <class Use>
  void with_stream(Use use) {
    url_.tls ? use(secure_) : use(secure_.next_layer());
  }
  [[nodiscard]] error failure(std::string_view doing, error_code why) const;
  result<void> connect();
  result<void> secure();
  result<void> send(const http_question& question);
  void take_head();

  download_url url_;
  const std::atomic<bool>& interrupted_;
  asio::io_context io_;
  asio::ssl::context tls_{asio::ssl::context::tls_client};
  tls_stream secure_;
  beast::flat_buffer buffer_;
  http::response_parser<http::buffer_body> parser_;
  http_head head_;
};

template <class Start>
error_code one_get::wait(std::chrono::milliseconds longest, Start start) {
  bool done = false;
  error_code out;
  secure_.next_layer().expires_after(longest);
  start([&](error_code e, auto&&...) {
    out = e;
    done = true;
  });
  io_.restart();
  while (!done) {
    io_.run_for(interruption_poll);
    if (!done && interrupted_.load()) {
      secure_.next_layer().cancel();
    }
  }
  return out;
}

error one_get::failure(std::string_view doing, error_code why) const {
  const auto with = [&](errc code, std::string_view what) {
    return fail(code, "{} {}: {}", doing, url_.host, what);
  };
  if (interrupted_.load()) {
    return with(errc::cancelled, "interrupted");
  }
  if (why == beast::error::timeout) {
    return with(errc::timed_out, "nothing came for too long");
  }
  const bool of_http = why.category() == http::make_error_code(http::error::bad_method).category();
  const bool broken = why == http::error::end_of_stream || why == http::error::partial_message;
  return with(of_http && !broken ? errc::malformed : errc::peer_lost,
              broken ? "the connection ended before the answer did" : why.message());
}

result<void> one_get::connect() {
  tcp::resolver resolver{io_};
  tcp::resolver::results_type found;
  const error_code unknown = wait(limits::pull_connect_wait, [&](auto done) {
    resolver.async_resolve(url_.host, std::to_string(url_.port),
                           [&found, done](error_code e, const auto& all) mutable {
                             found = all;
                             done(e);
                           });
  });
  if (unknown) {
    return failure("looking for", unknown);
  }
  const error_code unreachable = wait(limits::pull_connect_wait, [&](auto done) {
    secure_.next_layer().async_connect(found, done);
  });
  if (unreachable) {
    return failure("connecting to", unreachable);
  }
  return url_.tls ? secure() : result<void>{};
}

result<void> one_get::secure() {
  error_code e;
  tls_.set_default_verify_paths(e);
  SSL_set_min_proto_version(secure_.native_handle(), TLS1_2_VERSION);
  SSL_set_verify_depth(secure_.native_handle(), chain_depth_max);
  const bool address = url_.host.find_first_not_of("0123456789.:") == std::string::npos;
  if (!address && SSL_set_tlsext_host_name(secure_.native_handle(), url_.host.c_str()) != 1) {
    return fail(errc::invalid_argument, "{} is no name that TLS takes", url_.host);
  }
  secure_.set_verify_mode(asio::ssl::verify_peer);
  secure_.set_verify_callback(asio::ssl::rfc2818_verification{url_.host});
  e = wait(limits::pull_connect_wait,
           [&](auto done) { secure_.async_handshake(asio::ssl::stream_base::client, done); });
  if (!e) {
    return {};
  }
  if (const long verdict = SSL_get_verify_result(secure_.native_handle()); verdict != X509_V_OK) {
    return fail(errc::unsupported, "{} could not prove that it is {}: {}", url_.host, url_.host,
                X509_verify_cert_error_string(verdict));
  }
  return failure("speaking TLS with", e);
}

result<void> one_get::send(const http_question& question) {
  http::request<http::empty_body> request{http::verb::get, url_.target, 11};
  const bool v6 = url_.host.find(':') != std::string::npos;
  std::string host = v6 ? "[" + url_.host + "]" : url_.host;
  if (url_.port != (url_.tls ? 443 : 80)) {
    host += ":" + std::to_string(url_.port);
  }
  request.set(http::field::host, host);
  request.set(http::field::user_agent, "ovir/" OVIR_VERSION);
  request.set(http::field::accept, "*/*");
  request.set(http::field::accept_encoding, "identity");
  request.set(http::field::connection, "close");
  if (question.from > 0) {
    request.set(http::field::range, fmt::format("bytes={}-", question.from));
    if (!question.if_range.empty()) {
      request.set(http::field::if_range, question.if_range);
    }
  }
  error_code e;
  with_stream([&](auto& stream) {
    e = wait(limits::pull_silence_wait,
             [&](auto done) { http::async_write(stream, request, done); });
  });
  if (e) {
    return failure("asking", e);
  }
  parser_.header_limit(limits::pull_header_bytes_max);
  parser_.body_limit(std::numeric_limits<std::uint64_t>::max()); // who reads it counts
  with_stream([&](auto& stream) {
    e = wait(limits::pull_silence_wait,
             [&](auto done) { http::async_read_header(stream, buffer_, parser_, done); });
  });
  return e ? result<void>{failure("asking", e)} : result<void>{};
}

void one_get::take_head() {
  const auto& answer = parser_.get();
  const auto field = [&](auto name) { return std::string{answer[name]}; };
  head_.status = answer.result_int();
  if (const auto length = parser_.content_length()) {
    head_.length = *length;
  }
  head_.ends_with_connection = !head_.length && !parser_.chunked();
  const std::string encoding = field(http::field::content_encoding);
  head_.encoded = !encoding.empty() && encoding != "identity";
  head_.range = field(http::field::content_range);
  head_.etag = field(http::field::etag);
  head_.last_modified = field(http::field::last_modified);
  head_.location = field(http::field::location);
  head_.linked_etag = field("X-Linked-ETag");
}

result<void> one_get::begin(const http_question& question) {
  OVIR_TRY(connect());
  OVIR_TRY(send(question));
  take_head();
  return {};
}

result<std::size_t> one_get::read(std::span<std::byte> out) {
  auto& body = parser_.get().body();
  while (!parser_.is_done()) {
    body.data = out.data();
    body.size = out.size();
    error_code e;
    with_stream([&](auto& stream) {
      e = wait(limits::pull_silence_wait,
               [&](auto done) { http::async_read_some(stream, buffer_, parser_, done); });
    });
    const std::size_t got = out.size() - body.size;
    if (e && e != http::error::need_buffer) {
      return failure("reading from", e);
    }
    if (got > 0) {
      return got;
    }
  }
  return std::size_t{0};
}

} // namespace

result<std::unique_ptr<http_get>> http_get::ask(const http_question& question,
                                                const std::atomic<bool>& interrupted) {
  auto get = std::make_unique<one_get>(question.url, interrupted);
  OVIR_TRY(get->begin(question));
  return std::unique_ptr<http_get>{std::move(get)};
}

void pause_between_tries(std::chrono::milliseconds time, const std::atomic<bool>& interrupted) {
  asio::io_context io;
  asio::steady_timer timer{io, time};
  timer.async_wait([](error_code) {});
  while (io.run_for(interruption_poll) == 0 && !io.stopped() && !interrupted.load()) {
  }
}

} // namespace ovir::apps
