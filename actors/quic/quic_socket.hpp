#pragma once

#include "actors/quic/udp_address.hpp"
#include "messages/limits/quic.hpp"

#include <sys/socket.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <vector>

/// What the system does with datagrams, many at a time.
namespace ovir::actors {

/// Datagrams are not cut on their way, errors of the way are heard, and the system keeps some.
void set_socket_options(int socket, bool six);

/// Where the system heard since the last call that nothing listens (ICMP). A bounded number.
[[nodiscard]] std::vector<udp_address> read_refusals(int socket);

/// Datagrams read by one call. Not moved.
class udp_arrivals {
public:
  udp_arrivals();
  udp_arrivals(const udp_arrivals&) = delete;
  udp_arrivals& operator=(const udp_arrivals&) = delete;

  /// How many came, at most limits::quic_batch_datagrams; 0: none now.
  [[nodiscard]] std::size_t read(int socket);
  [[nodiscard]] std::span<const std::byte> bytes(std::size_t i) const {
    return std::span{bytes_[i]}.first(messages_[i].msg_len);
  }
  [[nodiscard]] std::optional<udp_address> from(std::size_t i) const {
    return from_system(from_[i]);
  }

private:
  std::array<std::array<std::byte, limits::quic_datagram_received_max>,
             limits::quic_batch_datagrams>
      bytes_{};
  std::array<sockaddr_storage, limits::quic_batch_datagrams> from_{};
  std::array<iovec, limits::quic_batch_datagrams> parts_{};
  std::array<mmsghdr, limits::quic_batch_datagrams> messages_{};
};

/// Datagrams for one address, all but the last of one size: the system takes them in one call.
struct udp_batch {
  std::vector<std::byte> bytes;
  udp_address to;
  std::size_t size{0}; ///< of one
  std::size_t filled{0};
  std::size_t count{0};

  udp_batch() : bytes(limits::quic_batch_datagrams * limits::quic_datagram_bytes_max) {}
  [[nodiscard]] std::span<std::byte> space() { return std::span{bytes}.subspan(filled); }
};

/// Sends `bytes` of it from `first` on; `cut`: as datagrams of its size, else as one. As sendmsg.
[[nodiscard]] ssize_t send_batch(int socket, const udp_batch& batch, std::size_t first,
                                 std::size_t bytes, bool cut);

} // namespace ovir::actors
