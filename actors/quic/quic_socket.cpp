#include "actors/quic/quic_socket.hpp"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace ovir::actors {

namespace {

void set_number(int socket, int level, int option, int value) {
  (void)::setsockopt(socket, level, option, &value, sizeof value); // helps where it is known
}

} // namespace

void set_socket_options(int socket, bool six) {
  set_number(socket, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  set_number(socket, IPPROTO_IP, IP_RECVERR, 1);
  if (six) { // which may carry IPv4, too
    set_number(socket, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    set_number(socket, IPPROTO_IPV6, IPV6_RECVERR, 1);
  }
  for (const int option : {SO_RCVBUF, SO_SNDBUF}) {
    set_number(socket, SOL_SOCKET, option, limits::quic_socket_bytes);
  }
  set_number(socket, SOL_SOCKET, SO_RCVBUFFORCE, limits::quic_socket_bytes);
  set_number(socket, SOL_SOCKET, SO_SNDBUFFORCE, limits::quic_socket_bytes);
}

std::vector<udp_address> read_refusals(int socket) {
  std::vector<udp_address> found;
  for (std::size_t i = 0; i < limits::quic_batch_datagrams; ++i) {
    sockaddr_storage to{};
    std::array<char, 512> control{};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof to;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (::recvmsg(socket, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) {
      break;
    }
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      sock_extended_err what{};
      const bool of_ip = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
                         (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR);
      if (of_ip && c->cmsg_len >= CMSG_LEN(sizeof what)) {
        std::memcpy(&what, CMSG_DATA(c), sizeof what);
        const auto there = from_system(to);
        if (there && what.ee_errno == ECONNREFUSED) {
          found.push_back(*there);
        }
      }
    }
  }
  return found;
}

udp_arrivals::udp_arrivals() {
  for (std::size_t i = 0; i < messages_.size(); ++i) {
    parts_[i] = {bytes_[i].data(), bytes_[i].size()};
    messages_[i].msg_hdr.msg_iov = &parts_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
    messages_[i].msg_hdr.msg_name = &from_[i];
  }
}

std::size_t udp_arrivals::read(int socket) {
  for (mmsghdr& m : messages_) {
    m.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
  }
  const int count = ::recvmmsg(socket, messages_.data(), static_cast<unsigned>(messages_.size()),
                               MSG_DONTWAIT, nullptr);
  return count > 0 ? static_cast<std::size_t>(count) : 0;
}

ssize_t send_batch(int socket, const udp_batch& batch, std::size_t first, std::size_t bytes,
                   bool cut) {
  sockaddr_storage address{};
  msghdr message{};
  message.msg_name = &address;
  message.msg_namelen = to_system(batch.to, address);
  iovec part{const_cast<std::byte*>(batch.bytes.data() + first), bytes};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> control{};
  if (cut) {
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* const segment = CMSG_FIRSTHDR(&message);
    segment->cmsg_level = IPPROTO_UDP;
    segment->cmsg_type = UDP_SEGMENT;
    segment->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const auto size = static_cast<std::uint16_t>(batch.size);
    std::memcpy(CMSG_DATA(segment), &size, sizeof size);
  }
  return ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

} // namespace ovir::actors
