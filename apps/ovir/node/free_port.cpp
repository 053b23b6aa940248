#include "apps/ovir/node/free_port.hpp"

#include "messages/limits/general.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace ovir::apps {

namespace {

constexpr std::uint16_t ports_tried = 256;

class descriptor {
public:
  explicit descriptor(int kind) : fd_(::socket(AF_INET, kind | SOCK_CLOEXEC, 0)) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

private:
  int fd_;
};

sockaddr_in address_from(const std::string& host, std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) {
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  }
  return address;
}

bool is_free(const std::string& host, std::uint16_t port) {
  const descriptor socket{SOCK_STREAM};
  const int again = 1; // what a program that has ended listened on is free
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &again, sizeof again);
  const sockaddr_in address = address_from(host, port);
  return ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

} // namespace

std::string address_of_machine() {
  // An address for documentation: the system chooses a way to it as to any other.
  const sockaddr_in far = address_from("192.0.2.1", 9);
  const descriptor socket{SOCK_DGRAM};
  sockaddr_in near{};
  socklen_t size = sizeof near;
  std::array<char, INET_ADDRSTRLEN> text{};
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&far), sizeof far) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&near), &size) != 0 ||
      ::inet_ntop(AF_INET, &near.sin_addr, text.data(), text.size()) == nullptr) {
    return "127.0.0.1";
  }
  return text.data();
}

result<std::string> free_place(const std::string& host, std::uint16_t first) {
  for (std::uint16_t port = first; port < first + ports_tried; ++port) {
    if (is_free(host, port)) {
      return fmt::format("{}:{}", host, port);
    }
  }
  return fail(errc::busy, "no port from {} to {} is free on {}; name one", first,
              first + ports_tried - 1, host);
}

std::string machine_name() {
  std::array<char, 256> text{};
  if (::gethostname(text.data(), text.size() - 1) != 0 || text[0] == '\0') {
    return "node";
  }
  return std::string{text.data()}.substr(0, limits::node_name_bytes_max);
}

} // namespace ovir::apps
