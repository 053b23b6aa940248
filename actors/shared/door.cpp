#include "actors/shared/door.hpp"

#include "messages/limits/shared.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace ovir::actors {

namespace {

constexpr int packet_socket = SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK;

std::string socket_problem() { return std::generic_category().message(errno); }

/// The address of an abstract name: a zero byte in front, and none behind.
struct abstract_address {
  explicit abstract_address(const std::string& name) {
    OVIR_CHECK(name.size() < sizeof(where.sun_path), name.size());
    where.sun_family = AF_UNIX;
    std::memcpy(where.sun_path + 1, name.data(), name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  }
  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&where); }

  sockaddr_un where{};
  socklen_t size{0};
};

bool is_own_user(const file_handle& socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
         peer.uid == ::geteuid();
}

/// The first descriptor that came; further ones are closed.
file_handle take_attached(msghdr& message) {
  file_handle first;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) {
      continue;
    }
    const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int descriptor = -1;
      std::memcpy(&descriptor, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      file_handle one{descriptor};
      if (!first) {
        first = std::move(one);
      }
    }
  }
  return first;
}

} // namespace

result<file_handle> open_door(const std::string& name) {
  file_handle door{::socket(AF_UNIX, packet_socket, 0)};
  const abstract_address at{name};
  if (!door || ::bind(door.get(), at.get(), at.size) != 0 ||
      ::listen(door.get(), static_cast<int>(limits::shared_greetings_max)) != 0) {
    return fail(errc::io_failed, "no socket for shared memory can be opened: {}", socket_problem());
  }
  return door;
}

file_handle next_at_door(const file_handle& door) {
  for (std::size_t i = 0; i < limits::shared_greetings_max; ++i) {
    file_handle one{::accept4(door.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!one || is_own_user(one)) {
      return one;
    }
  }
  return {};
}

result<file_handle> knock(const std::string& name) {
  file_handle socket{::socket(AF_UNIX, packet_socket, 0)};
  const abstract_address at{name};
  if (!socket || ::connect(socket.get(), at.get(), at.size) != 0) {
    return fail(errc::peer_lost, "no process of this machine shares memory there: {}",
                socket_problem());
  }
  if (!is_own_user(socket)) {
    return fail(errc::invalid_argument, "another user's process listens there");
  }
  return socket;
}

result<void> send_packet(const file_handle& socket, std::span<const std::byte> bytes,
                         int attached) {
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (attached >= 0) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(head), &attached, sizeof(int));
  }
  if (::sendmsg(socket.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) !=
      static_cast<ssize_t>(bytes.size())) {
    return fail(errc::peer_lost, "a packet to a process of this machine does not leave: {}",
                socket_problem());
  }
  return {};
}

result<std::optional<packet>> receive_packet(const file_handle& socket, std::size_t bytes_max) {
  packet out;
  out.bytes.resize(bytes_max);
  iovec part{out.bytes.data(), out.bytes.size()};
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t bytes = ::recvmsg(socket.get(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (bytes < 0) {
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) {
      return std::optional<packet>{};
    }
    return fail(errc::peer_lost, "a process of this machine is gone: {}", socket_problem());
  }
  out.attached = take_attached(message);
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return fail(errc::malformed, "a process of this machine sends a packet that is too long");
  }
  out.bytes.resize(static_cast<std::size_t>(bytes));
  return std::optional<packet>{std::move(out)};
}

void ring_bell(const file_handle& socket) {
  const std::byte bell{1};
  (void)::send(socket.get(), &bell, sizeof(bell), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool take_bell(const file_handle& socket) {
  std::array<std::byte, 16> bell{};
  const ssize_t bytes = ::recv(socket.get(), bell.data(), bell.size(), MSG_DONTWAIT);
  return bytes > 0 || (bytes < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR));
}

} // namespace ovir::actors
