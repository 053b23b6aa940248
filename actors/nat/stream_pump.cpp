#include "actors/nat/stream_pump.hpp"

#include <boost/asio/write.hpp>
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace ovir::actors {

namespace asio = boost::asio;
using boost::system::error_code;

result<int> stream_pump::open() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return fail(errc::io_failed, "there is no socket for a relayed stream; raise the limit of open "
                                 "files");
  }
  error_code problem;
  socket_.assign(asio::local::stream_protocol{}, ends[0], problem);
  return ends[1];
}

void stream_pump::read() {
  if (reading_ || over_ || ending_ || flow_.may_send() == 0) {
    return; // a count goes on with it
  }
  reading_ = true;
  const auto most = std::min<std::uint64_t>(piece_.size(), flow_.may_send());
  socket_.async_read_some(
      asio::buffer(piece_.data(), static_cast<std::size_t>(most)),
      [self = shared_from_this()](const error_code& problem, std::size_t bytes) {
        self->reading_ = false;
        if (self->over_) {
          return;
        }
        if (problem) {
          self->close({errc::peer_lost, "the link has ended"});
          return;
        }
        self->flow_.sent(bytes);
        self->calls_.say(stream_bytes{
            self->number_,
            {self->piece_.begin(), self->piece_.begin() + static_cast<std::ptrdiff_t>(bytes)}});
        self->read();
      });
}

void stream_pump::on(const stream_bytes& m) {
  if (over_) {
    return;
  }
  if (const auto fits = flow_.received(m.bytes.size()); !fits) {
    close(fits.error());
    return;
  }
  incoming_.push_back(m.bytes);
  write();
}

void stream_pump::write() {
  if (writing_ || over_) {
    return;
  }
  if (incoming_.empty()) {
    if (ending_) {
      over_ = true;
      error_code ignored;
      socket_.close(ignored);
    }
    return;
  }
  writing_ = true;
  asio::async_write(socket_, asio::buffer(incoming_.front()),
                    [self = shared_from_this()](const error_code& problem, std::size_t) {
                      self->writing_ = false;
                      if (self->over_) {
                        return;
                      }
                      if (problem) {
                        self->close({errc::peer_lost, "the link has ended"});
                        return;
                      }
                      const std::size_t bytes = self->incoming_.front().size();
                      self->incoming_.pop_front();
                      if (const auto count = self->flow_.delivered(self->number_, bytes);
                          count && !self->ending_) {
                        self->calls_.say(*count);
                      }
                      self->write();
                    });
}

void stream_pump::on(const stream_count& m) {
  if (over_ || ending_) {
    return;
  }
  if (const auto right = flow_.counted(m); !right) {
    close(right.error());
    return;
  }
  read();
}

void stream_pump::ended(const error& reason) {
  if (over_ || ending_) {
    return;
  }
  ending_ = true;
  calls_.over(reason);
  write();
}

void stream_pump::close(const error& reason) {
  if (over_) {
    return;
  }
  over_ = true;
  error_code ignored;
  socket_.close(ignored);
  if (ending_) {
    return;
  }
  if (const auto last = flow_.last_count(number_)) {
    calls_.say(*last);
  }
  calls_.say(stream_end{number_, stream_ending::closed});
  calls_.over(reason);
}

} // namespace ovir::actors
