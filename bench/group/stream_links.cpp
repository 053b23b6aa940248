#include "bench/group/stream_links.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace ovir::bench {

namespace {

constexpr std::size_t length_bytes = sizeof(std::uint64_t);

} // namespace

stream_links::stream_links(std::vector<int> sockets) : connections_(sockets.size()) {
  for (std::size_t i = 0; i < sockets.size(); ++i) {
    connections_[i].socket = sockets[i];
    if (sockets[i] >= 0) {
      (void)fcntl(sockets[i], F_SETFL, O_NONBLOCK);
    }
  }
}

stream_links::~stream_links() {
  for (connection& c : connections_) {
    while (c.socket >= 0 && !c.gone && !c.sending.empty()) {
      write_some(c);
    }
    if (c.socket >= 0) {
      close(c.socket);
    }
  }
}

void stream_links::send(std::uint32_t member, bytes message) {
  connection& c = connections_[member];
  std::vector<std::byte> framed(length_bytes + message->size());
  const std::uint64_t length = message->size();
  std::memcpy(framed.data(), &length, length_bytes);
  std::memcpy(framed.data() + length_bytes, message->data(), message->size());
  c.sending.push_back(std::move(framed));
  write_some(c);
}

void stream_links::write_some(connection& c) {
  while (!c.gone && !c.sending.empty()) {
    const std::vector<std::byte>& first = c.sending.front();
    const ssize_t n = ::send(c.socket, first.data() + c.sent, first.size() - c.sent, MSG_NOSIGNAL);
    if (n < 0) {
      c.gone = errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR;
      return;
    }
    c.sent += static_cast<std::size_t>(n);
    if (c.sent == first.size()) {
      c.sending.pop_front();
      c.sent = 0;
    }
  }
}

void stream_links::read_some(std::uint32_t from, connection& c) {
  std::array<std::byte, 1U << 16U> buffer;
  const ssize_t n = recv(c.socket, buffer.data(), buffer.size(), 0);
  if (n <= 0) {
    c.gone = n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
    return;
  }
  c.read.insert(c.read.end(), buffer.begin(), buffer.begin() + n);
  std::size_t at = 0;
  for (;;) {
    std::uint64_t length = 0;
    if (c.read.size() - at < length_bytes) {
      break;
    }
    std::memcpy(&length, c.read.data() + at, length_bytes);
    if (c.read.size() - at - length_bytes < length) {
      break;
    }
    const auto begin = c.read.begin() + static_cast<std::ptrdiff_t>(at + length_bytes);
    inbox_.push_back({from, std::make_shared<const std::vector<std::byte>>(
                                begin, begin + static_cast<std::ptrdiff_t>(length))});
    at += length_bytes + length;
  }
  c.read.erase(c.read.begin(), c.read.begin() + static_cast<std::ptrdiff_t>(at));
}

result<std::optional<actors::group_links::letter>> stream_links::receive(time_point until) {
  while (inbox_.empty()) {
    for (std::uint32_t i = 0; i < connections_.size(); ++i) {
      connection& c = connections_[i];
      if (c.socket < 0) {
        continue;
      }
      write_some(c);
      read_some(i, c);
      if (c.gone && inbox_.empty()) {
        return fail(errc::peer_lost, "member {} is gone", i);
      }
    }
    if (inbox_.empty() && now() >= until) {
      return std::optional<letter>{};
    }
  }
  letter first = std::move(inbox_.front());
  inbox_.pop_front();
  return std::optional<letter>{std::move(first)};
}

} // namespace ovir::bench
