#include "bench/gateway/stream_client.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

namespace ovir::bench {

namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using clock = std::chrono::steady_clock;
using json = nlohmann::json;

constexpr std::chrono::seconds patience{180}; ///< without a byte
constexpr std::size_t event_bytes_max = 1U << 20U;

class client final : public stream_client, public std::enable_shared_from_this<client> {
public:
  client(asio::io_context& context, place where, bool keeps)
      : socket_(context), timer_(context), where_(std::move(where)), keeps_(keeps) {}

  void ask(std::string body, std::function<void()> on_token,
           std::function<void(const stream_outcome&)> then) override {
    on_token_ = std::move(on_token);
    then_ = std::move(then);
    outcome_ = {};
    events_ = 0;
    done_ = false;
    usage_.reset();
    text_.clear();
    request_ = fmt::format("POST /v1/completions HTTP/1.1\r\nHost: {}\r\n"
                           "Content-Type: application/json\r\nContent-Length: {}\r\n{}{}\r\n{}",
                           where_.host, body.size(),
                           where_.key.empty() ? "" : "Authorization: Bearer " + where_.key + "\r\n",
                           keeps_ ? "" : "Connection: close\r\n", body);
    begun_ = clock::now();
    wait();
    if (socket_.is_open()) {
      return write();
    }
    buffer_.clear();
    socket_.async_connect(where_.at, [self = shared_from_this()](error_code e) {
      e ? self->finish("cannot connect: " + e.message()) : self->write();
    });
  }

  void close() override {
    error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
  }

private:
  void wait() {
    timer_.expires_after(patience);
    timer_.async_wait([self = shared_from_this()](error_code cancelled) {
      if (!cancelled) { // what is under way ends with an error then
        self->complain("nothing came for a long time");
        error_code ignored;
        self->socket_.close(ignored);
      }
    });
  }

  void write() {
    asio::async_write(socket_, asio::buffer(request_),
                      [self = shared_from_this()](error_code e, std::size_t) {
                        // Whoever is refused early may have been answered all the same.
                        (void)e;
                        self->read_head();
                      });
  }

  void read_head() {
    parser_.emplace();
    parser_->body_limit(std::numeric_limits<std::uint64_t>::max());
    http::async_read_header(
        socket_, buffer_, *parser_,
        [self = shared_from_this()](error_code e, std::size_t) { self->take_head(e); });
  }

  void take_head(error_code e) {
    if (e) {
      return finish("no answer: " + e.message());
    }
    const auto& head = parser_->get();
    outcome_.status = static_cast<int>(head.result_int());
    outcome_.may_try = head.count(http::field::retry_after) == 1;
    read_body();
  }

  void read_body() {
    if (parser_->is_done()) {
      return take_end();
    }
    parser_->get().body().data = piece_.data();
    parser_->get().body().size = piece_.size();
    http::async_read_some(
        socket_, buffer_, *parser_,
        [self = shared_from_this()](error_code e, std::size_t) { self->take_body(e); });
  }

  void take_body(error_code e) {
    if (e && e != http::error::need_buffer) {
      return finish("the answer was cut: " + e.message());
    }
    wait();
    text_.append(piece_.data(), piece_.size() - parser_->get().body().size);
    if (outcome_.status == 200) {
      take_events();
    }
    if (text_.size() > event_bytes_max) {
      return finish("an event without an end");
    }
    read_body();
  }

  void take_events() {
    std::size_t at = 0;
    while (true) {
      const std::size_t end = text_.find("\n\n", at);
      if (end == std::string::npos) {
        break;
      }
      take_event(std::string_view{text_}.substr(at, end - at));
      at = end + 2;
    }
    text_.erase(0, at);
  }

  void take_event(std::string_view event) {
    std::string_view id;
    std::string_view data;
    while (!event.empty()) {
      const std::string_view line = event.substr(0, event.find('\n'));
      event.remove_prefix(std::min(event.size(), line.size() + 1));
      if (line.starts_with("id: ")) {
        id = line.substr(4);
      } else if (line.starts_with("data: ")) {
        data = line.substr(6);
      }
    }
    if (data.empty()) { // a comment, so that the connection is not taken for dead
      return;
    }
    if (data == "[DONE]") {
      done_ = true;
      return;
    }
    const json document = json::parse(data, nullptr, false);
    if (!document.is_object() || document.contains("error")) {
      return complain("an event says " + std::string{data});
    }
    if (document["choices"].empty()) {
      usage_ = document["usage"].value("completion_tokens", 0U);
      return;
    }
    const json& choice = document["choices"][0];
    ++events_;
    if (id.substr(std::min(id.size(), id.rfind(':') + 1)) != std::to_string(events_)) {
      complain(fmt::format("event {} has the id {}", events_, id));
    }
    if (choice["finish_reason"].is_null()) {
      if (++outcome_.tokens == 1) {
        outcome_.first_token = clock::now() - begun_;
      }
      if (on_token_) {
        on_token_();
      }
    } else {
      outcome_.ending = choice["finish_reason"];
      outcome_.transcript = choice["ovir"].value("transcript", "");
    }
  }

  void complain(std::string what) {
    if (outcome_.error.empty()) {
      outcome_.error = std::move(what);
    }
  }

  void take_end() {
    if (!keeps_ || !parser_->keep_alive()) {
      error_code ignored;
      socket_.close(ignored);
    }
    if (outcome_.status != 200) {
      return finish(fmt::format("status {}: {}", outcome_.status, text_), true);
    }
    if (!done_ || outcome_.ending.empty()) {
      complain("the stream ended without its end");
    } else if (usage_ != outcome_.tokens) {
      complain(
          fmt::format("{} tokens came and {} are counted", outcome_.tokens, usage_.value_or(0)));
    }
    outcome_.whole = outcome_.error.empty();
    finish({}, true);
  }

  void finish(std::string error, bool in_order = false) {
    timer_.cancel();
    if (!in_order) {
      error_code ignored;
      socket_.close(ignored);
    }
    if (!error.empty()) {
      complain(std::move(error));
    }
    outcome_.end = clock::now() - begun_;
    on_token_ = nullptr;
    if (const auto then = std::exchange(then_, nullptr)) {
      then(outcome_);
    }
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  place where_;
  bool keeps_;
  boost::beast::flat_buffer buffer_;
  std::optional<http::response_parser<http::buffer_body>> parser_;
  std::array<char, 8'192> piece_{};
  std::string request_;
  std::string text_; ///< not yet taken
  std::function<void()> on_token_;
  std::function<void(const stream_outcome&)> then_;
  stream_outcome outcome_;
  std::uint32_t events_{0};
  bool done_{false};
  std::optional<std::uint32_t> usage_;
  clock::time_point begun_;
};

} // namespace

std::shared_ptr<stream_client> make_stream_client(asio::io_context& context, place where,
                                                  bool keeps) {
  return std::make_shared<client>(context, std::move(where), keeps);
}

} // namespace ovir::bench
