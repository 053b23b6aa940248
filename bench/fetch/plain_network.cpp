#include "bench/fetch/plain_network.hpp"

#include "actors/link/link_format.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace ovir::bench {

namespace {

bool read_all(int socket, std::byte* to, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = ::recv(socket, to, bytes, 0);
    if (got <= 0) {
      return false;
    }
    to += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int socket, const std::byte* from, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t put = ::send(socket, from, bytes, MSG_NOSIGNAL);
    if (put <= 0) {
      return false;
    }
    from += put;
    bytes -= static_cast<std::size_t>(put);
  }
  return true;
}

} // namespace

std::pair<int, int> connected_sockets() {
  const int door = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(at);
  if (door < 0 || ::bind(door, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0 ||
      ::listen(door, 1) != 0 || ::getsockname(door, reinterpret_cast<sockaddr*>(&at), &size) != 0) {
    throw std::runtime_error("cannot listen on loopback");
  }
  const int one = ::socket(AF_INET, SOCK_STREAM, 0);
  if (one < 0 || ::connect(one, reinterpret_cast<sockaddr*>(&at), sizeof(at)) != 0) {
    throw std::runtime_error("cannot connect on loopback");
  }
  const int other = ::accept(door, nullptr, nullptr);
  ::close(door);
  const int yes = 1;
  for (const int end : {one, other}) {
    (void)::setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  }
  return {one, other};
}

plain_end::plain_end(int socket, actors::peer_info peer, actors::network_handler& handler)
    : socket_(socket), peer_(std::move(peer)), handler_(handler) {}

plain_end::~plain_end() {
  ::shutdown(socket_, SHUT_RDWR);
  {
    const std::lock_guard lock{guard_};
    over_ = true;
  }
  changed_.notify_all();
  for (std::thread* thread : {&reader_, &writer_}) {
    if (thread->joinable()) {
      thread->join();
    }
  }
  ::close(socket_);
}

void plain_end::start() {
  handler_.connected(peer_);
  reader_ = std::thread{[this] { read(); }};
  writer_ = std::thread{[this] { write(); }};
}

actors::connection_id plain_end::connect(const std::string& /*address*/, actors::channel /*kind*/,
                                         const node_id& /*expected*/) {
  wanted_.store(true);
  return peer_.connection;
}

result<void> plain_end::send(actors::connection_id /*connection*/, actors::message_kind kind,
                             std::uint32_t target,
                             std::shared_ptr<const std::vector<std::byte>> bytes) {
  const auto header = actors::encode_header(
      {static_cast<std::uint32_t>(bytes->size()), static_cast<std::uint16_t>(kind), target});
  const std::lock_guard lock{guard_};
  queue_.push_back(std::make_shared<const std::vector<std::byte>>(
      std::vector<std::byte>{header.begin(), header.end()}));
  queue_.push_back(std::move(bytes));
  changed_.notify_one();
  return {};
}

void plain_end::close(actors::connection_id /*connection*/, error /*reason*/) {}

void plain_end::write() {
  while (true) {
    std::shared_ptr<const std::vector<std::byte>> next;
    {
      std::unique_lock lock{guard_};
      changed_.wait(lock, [this] { return over_ || !queue_.empty(); });
      if (over_) {
        return;
      }
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    if (!write_all(socket_, next->data(), next->size())) {
      return;
    }
  }
}

void plain_end::read() {
  std::array<std::byte, actors::message_header::size> front{};
  while (read_all(socket_, front.data(), front.size())) {
    const auto header = actors::decode_header(peer_.kind, front);
    if (!header) {
      return;
    }
    std::vector<std::byte> bytes(header->length);
    if (!read_all(socket_, bytes.data(), bytes.size())) {
      return;
    }
    handler_.received(peer_, static_cast<actors::message_kind>(header->kind), header->target,
                      std::make_shared<const std::vector<std::byte>>(std::move(bytes)));
  }
}

} // namespace ovir::bench
