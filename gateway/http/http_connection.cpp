#include "gateway/http/http_connection.hpp"

#include "messages/limits/batches.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/chunk_encode.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include <algorithm>
#include <deque>
#include <functional>
#include <iterator>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ovir::gateway {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;
using tls_stream = asio::ssl::stream<tcp::socket>;

constexpr std::size_t read_bytes = 4U << 10U;
constexpr auto never = clock::time_point::max();

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return out;
}

/// The status that says what is wrong with bytes that are no request; 0: nobody is there to tell.
int status_of(error_code e) {
  if (e == http::error::header_limit || e == http::error::buffer_overflow) {
    return 431;
  }
  if (e == http::error::body_limit) {
    return 413;
  }
  if (e == http::error::bad_version) {
    return 505;
  }
  const bool gone = e == http::error::end_of_stream || e == http::error::partial_message;
  return !gone && e.category() == http::make_error_code(http::error::bad_method).category() ? 400
                                                                                            : 0;
}

using header = http::request_header<>;

/// What Beast's parser lets through and others might read differently: where a request ends must
/// not be a matter of opinion.
std::string_view ambiguity_of(const header& head) {
  if (head.count(http::field::transfer_encoding) > 0) {
    if (head.version() < 11) {
      return "HTTP/1.0 has no Transfer-Encoding";
    }
    if (head.count(http::field::transfer_encoding) > 1 ||
        lower(std::string{head[http::field::transfer_encoding]}) != "chunked" ||
        head.count(http::field::content_length) > 0) {
      return "Transfer-Encoding must be chunked, once, and without Content-Length";
    }
  }
  const std::string length{head[http::field::content_length]};
  if (head.count(http::field::content_length) > 1 ||
      length.find_first_not_of("0123456789") != std::string::npos) {
    return "Content-Length must be one number";
  }
  if (head.count(http::field::host) > 1 ||
      (head.version() == 11 && head.count(http::field::host) != 1)) {
    return "a request has one Host";
  }
  return {};
}

http_request request_of(const header& head) {
  http_request request;
  request.method = std::string{head.method_string()};
  const std::string target{head.target()};
  const std::size_t mark = target.find('?');
  request.path = target.substr(0, mark);
  request.query = mark == std::string::npos ? std::string{} : target.substr(mark + 1);
  for (const auto& field : head) {
    std::string& value = request.fields[lower(std::string{field.name_string()})];
    value += (value.empty() ? "" : ", ") + std::string{field.value()};
  }
  return request;
}

template <class Stream>
class connection final : public http_connection,
                         public std::enable_shared_from_this<connection<Stream>> {
public:
  connection(Stream stream, http_shared& shared)
      : stream_(std::move(stream)), shared_(shared), buffer_(limits::http_ahead_bytes_max) {}

  void begin() override {
    if constexpr (std::is_same_v<Stream, tls_stream>) {
      deadline_ = clock::now() + limits::http_handshake_wait;
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](error_code e) {
                                e ? self->close() : self->next_request();
                              });
    } else {
      next_request();
    }
  }

  void turn_away() override {
    refuse(503, "each connection that there may be has a request under way");
  }

  void check_time(time_point now) override {
    if (now < deadline_) {
      return;
    }
    if (phase_ == phase::header || phase_ == phase::body) {
      return refuse(408, phase_ == phase::header ? "the request's head came too slowly"
                                                 : "the request's body came too slowly");
    }
    close();
  }

  void drain() override {
    last_ = true;
    if (phase_ == phase::idle) {
      close();
    }
  }

  void close() override {
    if (std::exchange(closed_, true)) {
      return;
    }
    error_code ignored;
    socket().close(ignored);
    on_room_ = nullptr;
    end_upload();
    tell_gone();
  }

  time_point idle_since() const override { return phase_ == phase::answer ? never : idle_since_; }
  bool closed() const override { return closed_; }

private:
  enum class phase : std::uint8_t { idle, header, body, answer, parting };
  enum class body_size : std::uint8_t { usual, larger, counted };
  class exchange;

  auto& socket() { return stream_.lowest_layer(); }

  // Reading

  void next_request() {
    if (closed_) {
      return;
    }
    end_upload();
    if (last_ || shared_.draining) {
      return part();
    }
    phase_ = phase::idle;
    idle_since_ = clock::now();
    deadline_ = idle_since_ + shared_.options.idle_wait;
    if (buffer_.size() > 0) {
      read_header();
    } else {
      read_ahead();
    }
  }

  /// Bytes of the next request, or that the client is gone: also while this one is answered.
  void read_ahead() {
    if (reading_ || closed_ || buffer_.size() + read_bytes > buffer_.max_size()) {
      return;
    }
    reading_ = true;
    stream_.async_read_some(buffer_.prepare(read_bytes),
                            [self = this->shared_from_this()](error_code e, std::size_t size) {
                              self->reading_ = false;
                              self->take_ahead(e, size);
                            });
  }

  void take_ahead(error_code e, std::size_t size) {
    if (closed_) {
      return;
    }
    if (e) {
      return close();
    }
    if (phase_ == phase::parting) { // unread, so that our answer is not cut off by a reset
      return read_ahead();
    }
    buffer_.commit(size);
    if (phase_ == phase::idle) {
      read_header();
    } // else they wait for their turn, and nothing more is read: the parser will want the buffer
  }

  void read_header() {
    phase_ = phase::header;
    deadline_ = clock::now() + shared_.options.header_wait;
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(limits::http_header_bytes_max));
    // Which body it is, is not known before the head is read; then a lower limit holds.
    parser_->body_limit(std::max(shared_.options.body_bytes_max, limits::upload_bytes_max));
    reading_ = true;
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = this->shared_from_this()](error_code e, std::size_t) {
                              self->reading_ = false;
                              self->take_header(e);
                            });
  }

  void take_header(error_code e) {
    if (closed_ || phase_ != phase::header) {
      return;
    }
    if (e) {
      return take_read_error(e);
    }
    const header& head = parser_->get().base();
    if (const std::string_view wrong = ambiguity_of(head); !wrong.empty()) {
      return refuse(400, wrong);
    }
    if (head.target().size() > limits::http_path_bytes_max) {
      return refuse(414, "the path is too long");
    }
    if (static_cast<std::size_t>(std::distance(head.begin(), head.end())) >
        limits::http_fields_max) {
      return refuse(431, "there are too many header fields");
    }
    version_ = head.version();
    keep_ = parser_->get().keep_alive();
    request_ = request_of(head);
    head_only_ = request_.method == "HEAD";
    if (!limit_body()) {
      return;
    }
    std::optional<http_reply> refused;
    if (const auto why = refuse_caller(shared_.options.callers, request_)) {
      last_ = true;
      refused = shared_.handler.refuse_malformed(403, *why);
    } else {
      refused = shared_.handler.refuse_early(request_);
    }
    if (refused) {
      const bool bodyless = parser_->is_done();
      last_ = last_ || !bodyless;
      phase_ = phase::answer;
      return write_whole(std::move(*refused));
    }
    if (body_ == body_size::larger && !begin_upload()) {
      return refuse(503, "as many large bodies are being read as there may be");
    }
    if (lower(request_.field("expect")) == "100-continue") {
      queue("HTTP/1.1 100 Continue\r\n\r\n");
    }
    phase_ = phase::body;
    const auto wait = shared_.options.body_wait;
    deadline_ =
        clock::now() + (body_ == body_size::counted ? std::max(limits::upload_wait, wait) : wait);
    reading_ = true;
    http::async_read(stream_, buffer_, *parser_,
                     [self = this->shared_from_this()](error_code read, std::size_t) {
                       self->reading_ = false;
                       self->take_body(read);
                     });
  }

  /// False: the body is too large, which is said.
  bool limit_body() {
    const std::size_t usual = shared_.options.body_bytes_max;
    const std::size_t most = shared_.handler.body_bytes_for(request_).value_or(usual);
    const auto length = parser_->content_length();
    if (length && *length > most) {
      refuse(413, http::make_error_code(http::error::body_limit).message());
      return false;
    }
    // A body in chunks does not say how long it will be.
    const bool larger = most > usual && (length ? *length > usual : parser_->chunked());
    body_ = larger ? body_size::larger : body_size::usual;
    parser_->body_limit(most);
    return true;
  }

  bool begin_upload() {
    if (shared_.uploads >= limits::uploads_at_once) {
      return false;
    }
    ++shared_.uploads;
    body_ = body_size::counted;
    return true;
  }

  void end_upload() {
    if (std::exchange(body_, body_size::usual) == body_size::counted) {
      --shared_.uploads;
    }
  }

  void take_body(error_code e) {
    if (closed_ || phase_ != phase::body) {
      return;
    }
    if (e) {
      return take_read_error(e);
    }
    request_.body = std::move(parser_->get().body());
    parser_.reset();
    phase_ = phase::answer;
    deadline_ = never;
    const auto made = std::make_shared<exchange>(this->shared_from_this());
    answering_ = made;
    read_ahead();
    shared_.handler.serve(std::move(request_), made);
  }

  void take_read_error(error_code e) {
    const int status = status_of(e);
    status == 0 ? close() : refuse(status, e.message());
  }

  // Writing

  /// What is no request: an answer, then the end.
  void refuse(int status, std::string_view why) {
    last_ = true;
    keep_ = false;
    phase_ = phase::answer;
    write_whole(shared_.handler.refuse_malformed(status, why));
  }

  template <class Message>
  void set_head(Message& message, const http_reply& answer) {
    message.version(version_);
    message.result(static_cast<unsigned>(answer.status));
    message.set(http::field::content_type, answer.content_type);
    message.set(http::field::cache_control, "no-store");
    message.set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : answer.fields) {
      message.set(name, value);
    }
    message.keep_alive(keep_ && !last_ && !shared_.draining);
  }

  void write_whole(http_reply answer) {
    http::response<http::string_body> message;
    set_head(message, answer);
    message.body() = std::move(answer.body);
    message.prepare_payload();
    std::ostringstream text;
    if (head_only_) {
      text << message.base();
    } else {
      text << message;
    }
    finish_after(message.keep_alive(), std::move(text).str());
  }

  void write_head(const http_reply& answer) {
    http::response<http::empty_body> message;
    set_head(message, answer);
    chunked_ = version_ >= 11;
    if (chunked_) {
      message.chunked(true);
    } else {
      message.keep_alive(false);
    }
    keep_after_stream_ = message.keep_alive();
    std::ostringstream text;
    text << message.base();
    queue(std::move(text).str());
  }

  void write_piece(const std::string& piece) {
    if (piece.empty()) {
      return;
    }
    queue(chunked_ ? boost::beast::buffers_to_string(http::make_chunk(asio::buffer(piece)))
                   : piece);
  }

  void when_room(std::function<void()> room) {
    if (closed_) {
      return;
    }
    if (!writing_) {
      return room();
    }
    on_room_ = std::move(room);
  }

  void write_end() {
    finish_after(keep_after_stream_, chunked_
                                         ? boost::beast::buffers_to_string(http::make_chunk_last())
                                         : std::string{});
  }

  /// The last bytes of an answer.
  void finish_after(bool keep, std::string bytes) {
    answering_.reset();
    finishing_ = true;
    last_ = last_ || !keep;
    queue(std::move(bytes));
  }

  void queue(std::string bytes) {
    if (closed_) {
      return;
    }
    // One answer of any size is written; what more and more is added to is a stream nobody reads.
    if (!finishing_ && queued_ + bytes.size() > limits::http_send_bytes_max) {
      return close();
    }
    queued_ += bytes.size();
    waiting_.push_back(std::move(bytes));
    if (!writing_) {
      write_some();
    }
  }

  void write_some() {
    if (waiting_.empty()) {
      if (std::exchange(finishing_, false)) {
        next_request();
      } else if (const auto room = std::exchange(on_room_, nullptr)) {
        room();
      }
      return;
    }
    writing_ = true;
    written_.clear();
    for (const std::string& bytes : waiting_) {
      written_ += bytes;
    }
    waiting_.clear();
    offset_ = 0;
    write_rest();
  }

  void write_rest() {
    if (phase_ == phase::answer) {
      deadline_ = clock::now() + shared_.options.write_wait;
    }
    stream_.async_write_some(asio::buffer(written_) + offset_,
                             [self = this->shared_from_this()](error_code e, std::size_t size) {
                               self->take_written(e, size);
                             });
  }

  void take_written(error_code e, std::size_t size) {
    writing_ = false;
    if (closed_ || e) {
      return close();
    }
    offset_ += size;
    queued_ -= size;
    if (offset_ < written_.size()) {
      writing_ = true;
      return write_rest();
    }
    if (phase_ == phase::answer) {
      deadline_ = never; // nothing is owed to the client just now
    }
    write_some();
  }

  /// What the client still sends is read for a while, so that it gets to read the answer.
  void part() {
    phase_ = phase::parting;
    deadline_ = clock::now() + limits::http_linger;
    error_code ignored;
    socket().shutdown(tcp::socket::shutdown_send, ignored);
    buffer_.clear();
    read_ahead();
  }

  void tell_gone() {
    if (const auto exchange_now = answering_.lock()) {
      answering_.reset();
      exchange_now->tell_gone();
    }
  }

  Stream stream_;
  http_shared& shared_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  http_request request_;
  std::weak_ptr<exchange> answering_;
  phase phase_{phase::idle};
  time_point deadline_{never};
  time_point idle_since_{clock::now()};
  unsigned version_{11};
  bool keep_{true};
  bool last_{false};      ///< no further request
  bool reading_{false};   ///< a read is under way
  bool writing_{false};   ///< a write is under way
  bool finishing_{false}; ///< the answer's last bytes are queued
  bool chunked_{false};
  bool keep_after_stream_{false};
  bool head_only_{false};
  bool closed_{false};
  body_size body_{body_size::usual};
  std::function<void()> on_room_;
  std::deque<std::string> waiting_;
  std::string written_; ///< being written, from `offset_` on
  std::size_t offset_{0};
  std::size_t queued_{0}; ///< bytes not yet taken by the system
};

template <class Stream>
class connection<Stream>::exchange final : public http_exchange {
public:
  explicit exchange(std::shared_ptr<connection> owner) : owner_(std::move(owner)) {}
  ~exchange() override {
    if (owner_ && !owner_->closed_) { // dropped without an answer: nothing else can be said
      const auto owner = std::exchange(owner_, nullptr);
      owner->answering_.reset();
      owner->close();
    }
  }

  void reply(http_reply answer) override {
    if (const auto owner = std::exchange(owner_, nullptr)) {
      owner->write_whole(std::move(answer));
    }
  }
  void begin_stream(http_reply head) override {
    if (owner_) {
      owner_->write_head(head);
    }
  }
  void send(std::string piece) override {
    if (const auto owner = owner_) {
      owner->write_piece(piece);
    }
  }
  void end_stream() override {
    if (const auto owner = std::exchange(owner_, nullptr)) {
      owner->write_end();
    }
  }
  void when_gone(std::function<void()> gone) override { gone_ = std::move(gone); }
  void when_room(std::function<void()> room) override {
    if (owner_) {
      owner_->when_room(std::move(room));
    }
  }

  void tell_gone() {
    owner_.reset();
    if (const auto gone = std::exchange(gone_, nullptr)) {
      gone();
    }
  }

private:
  std::shared_ptr<connection> owner_;
  std::function<void()> gone_;
};

} // namespace

std::shared_ptr<http_connection> make_http_connection(tcp::socket socket, asio::ssl::context* tls,
                                                      http_shared& shared) {
  if (tls != nullptr) {
    return std::make_shared<connection<tls_stream>>(tls_stream{std::move(socket), *tls}, shared);
  }
  return std::make_shared<connection<tcp::socket>>(std::move(socket), shared);
}

} // namespace ovir::gateway
