// The network that fails does what it is told: a drill whose cuts cut nothing would prove nothing.
#include "tests/support/cluster/process_use.hpp"
#include "tests/support/cluster/tcp_proxy.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;

/// A socket that closes itself.
class wire_end {
public:
  explicit wire_end(int fd) : fd_(fd) {}
  wire_end(wire_end&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  wire_end& operator=(wire_end&&) = delete;
  ~wire_end() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }

  [[nodiscard]] int get() const { return fd_; }
  void send(const std::string& text) const {
    EXPECT_EQ(::send(fd_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  [[nodiscard]] bool readable(std::chrono::milliseconds within) const {
    pollfd one{fd_, POLLIN, 0};
    return ::poll(&one, 1, static_cast<int>(within.count())) == 1;
  }
  /// What comes next; "end" when the other side closed, "reset" when it was cut.
  [[nodiscard]] std::string receive() const {
    if (!readable(20s)) {
      return "nothing";
    }
    std::array<char, 256> buffer{};
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got))
                   : std::string{got == 0 ? "end" : "reset"};
  }

private:
  int fd_;
};

sockaddr_in at_port(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

class proxy : public ::testing::Test {
protected:
  void SetUp() override {
    sockaddr_in address = at_port(0);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(server_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(server_.get(), 8), 0);
    ASSERT_EQ(::getsockname(server_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    route_ = network_.add_route("127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  }

  [[nodiscard]] wire_end dial() const {
    const std::string place = network_.address(route_);
    const auto port = static_cast<std::uint16_t>(std::stoul(place.substr(place.rfind(':') + 1)));
    wire_end end{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    const sockaddr_in address = at_port(port);
    EXPECT_EQ(::connect(end.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return end;
  }
  [[nodiscard]] wire_end take() const {
    EXPECT_TRUE(server_.readable(20s));
    return wire_end{::accept4(server_.get(), nullptr, nullptr, SOCK_CLOEXEC)};
  }

  static constexpr auto everybody = [](std::size_t, std::size_t) { return true; };

  wire_end server_{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  /// This process is the fourth of those asked for.
  tcp_proxy network_{[](const std::vector<std::uint16_t>& ports) {
    return owners_of_ports({-1, -1, -1, ::getpid()}, ports);
  }};
  std::size_t route_{0};
};

TEST_F(proxy, passes_bytes_and_ends_both_ways) {
  const wire_end near = dial();
  const wire_end far = take();
  near.send("there");
  EXPECT_EQ(far.receive(), "there");
  far.send("and back");
  EXPECT_EQ(near.receive(), "and back");
  ::shutdown(near.get(), SHUT_WR);
  EXPECT_EQ(far.receive(), "end");
  far.send("still");
  EXPECT_EQ(near.receive(), "still");
}

TEST_F(proxy, knows_who_connects) {
  const wire_end near = dial();
  const wire_end far = take();
  near.send("x");
  EXPECT_EQ(far.receive(), "x");
  EXPECT_EQ(network_.cut([](std::size_t from, std::size_t to) { return from == 3 && to == 0; }),
            1U);
}

TEST_F(proxy, resets_what_is_cut) {
  const wire_end near = dial();
  const wire_end far = take();
  near.send("x");
  EXPECT_EQ(far.receive(), "x");
  EXPECT_EQ(network_.cut([](std::size_t from, std::size_t) { return from != 3; }), 0U);
  EXPECT_EQ(network_.cut(everybody), 1U);
  EXPECT_EQ(near.receive(), "reset");
  EXPECT_EQ(far.receive(), "reset");
}

TEST_F(proxy, keeps_what_is_held_until_it_is_let_go) {
  const wire_end near = dial();
  const wire_end far = take();
  network_.hold(everybody);
  near.send("later");
  EXPECT_FALSE(far.readable(30ms));
  network_.hold({});
  EXPECT_EQ(far.receive(), "later");
}

TEST_F(proxy, delays) {
  const wire_end near = dial();
  const wire_end far = take();
  network_.delay(40ms);
  const auto begun = std::chrono::steady_clock::now();
  near.send("slow");
  EXPECT_EQ(far.receive(), "slow");
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 40ms);
}

TEST_F(proxy, resets_those_who_come_while_nobody_listens) {
  const std::size_t nowhere = network_.add_route("127.0.0.1:" + std::to_string(free_port()));
  route_ = nowhere;
  const wire_end near = dial();
  EXPECT_EQ(near.receive(), "reset");
}

} // namespace
} // namespace ovir::test
