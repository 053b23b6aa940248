#include "bench/gateway/crowd.hpp"

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <vector>

namespace ovir::bench {

namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using tcp = asio::ip::tcp;

constexpr std::chrono::milliseconds pause{100}; ///< between two waves of new connections
constexpr std::size_t wave = 200;

class idlers final : public crowd, public std::enable_shared_from_this<idlers> {
public:
  idlers(asio::io_context& context, place where, std::size_t connections)
      : context_(context), timer_(context), where_(std::move(where)), free_(connections) {
    for (std::size_t i = 0; i < connections; ++i) {
      free_[i] = connections - 1 - i;
    }
  }

  void begin() {
    for (std::size_t i = 0; i < wave && !free_.empty(); ++i) {
      const std::size_t kind = free_.back() % 3;
      std::make_shared<member>(context_, shared_from_this(), free_.back())->begin(kind);
      free_.pop_back();
    }
    timer_.expires_after(pause);
    timer_.async_wait([weak = weak_from_this()](error_code cancelled) {
      if (const auto self = weak.lock(); self && !cancelled) {
        self->begin();
      }
    });
  }

  crowd_counts counts() const override { return counts_; }

private:
  struct member : std::enable_shared_from_this<member> {
    member(asio::io_context& context, const std::shared_ptr<idlers>& owner, std::size_t place)
        : socket(context), all(owner), number(place) {}

    void begin(std::size_t kind) {
      const auto owner = all.lock();
      if (kind > 0) {
        said = fmt::format("POST /v1/completions HTTP/1.1\r\nHost: {}\r\n", owner->where_.host);
      }
      if (kind == 2) {
        said += fmt::format(
            "Content-Type: application/json\r\nContent-Length: 1000\r\n{}\r\n{{",
            owner->where_.key.empty() ? "" : "Authorization: Bearer " + owner->where_.key + "\r\n");
      }
      socket.async_connect(owner->where_.at, [self = shared_from_this()](error_code e) {
        const auto crowd_now = self->all.lock();
        if (!crowd_now) {
          return;
        }
        if (e) {
          ++crowd_now->counts_.refused;
          return crowd_now->free_.push_back(self->number);
        }
        ++crowd_now->counts_.opened;
        ++crowd_now->counts_.open;
        asio::async_write(self->socket, asio::buffer(self->said),
                          [self](error_code, std::size_t) { self->read(); });
      });
    }

    void read() {
      socket.async_read_some(asio::buffer(piece),
                             [self = shared_from_this()](error_code e, std::size_t size) {
                               const auto crowd_now = self->all.lock();
                               if (!crowd_now) {
                                 return;
                               }
                               self->answered = self->answered || size > 0;
                               if (!e) {
                                 return self->read();
                               }
                               --crowd_now->counts_.open;
                               ++crowd_now->counts_.closed;
                               crowd_now->counts_.told += self->answered ? 1 : 0;
                               crowd_now->free_.push_back(self->number);
                             });
    }

    tcp::socket socket;
    std::weak_ptr<idlers> all;
    std::size_t number;
    std::string said;
    std::array<char, 512> piece{};
    bool answered{false};
  };

  asio::io_context& context_;
  asio::steady_timer timer_;
  place where_;
  std::vector<std::size_t> free_; ///< places whose connection is to be opened
  crowd_counts counts_;
};

} // namespace

std::shared_ptr<crowd> make_crowd(asio::io_context& context, place where, std::size_t connections) {
  const auto made = std::make_shared<idlers>(context, std::move(where), connections);
  made->begin();
  return made;
}

} // namespace ovir::bench
