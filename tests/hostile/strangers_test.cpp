// Whoever reaches a node's ports and is not let in: nothing of it costs anybody but the stranger.
#include "messages/limits/general.hpp"
#include "tests/hostile/hostile_node.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>

namespace ovir::test {
namespace {

using testing::HasSubstr;

std::vector<std::byte> bytes_of_text(std::string_view text) {
  const auto view = std::as_bytes(std::span{text.data(), text.size()});
  return {view.begin(), view.end()};
}

TEST_F(hostile_node, closes_on_noise_and_on_other_protocols_at_every_port) {
  for (const std::string& port : ports()) {
    for (int round = 0; round < 20; ++round) {
      std::vector<std::byte> bytes = noise(5 + random_() % 4'000);
      if (round % 2 == 0) { // looks like a TLS record of a huge handshake
        const std::vector<std::byte> record = bytes_of_text("\x16\x03\x01\x3f\xff\x01\xff\xff\xff");
        bytes.insert(bytes.begin(), record.begin(), record.end());
        bytes.resize(std::max<std::size_t>(bytes.size(), 17'000));
      }
      hostile_peer peer{port};
      (void)peer.send_raw(bytes);
      EXPECT_TRUE(peer.waits_for_close()) << port << ' ' << round;
    }
    hostile_peer browser{port};
    (void)browser.send_raw(bytes_of_text("GET / HTTP/1.1\r\nHost: node\r\n\r\n"));
    EXPECT_TRUE(browser.waits_for_close()) << port;
  }
  expect_service();
}

TEST_F(hostile_node, closes_on_wrong_certificates_and_on_replayed_connections_at_every_port) {
  using shows = hostile_tls::shows;
  for (const std::string& port : ports()) {
    const std::vector<std::byte> theirs = shaken(port, attacker::stranger).certificate_of_other();
    for (const shows shown :
         {shows::nothing, shows::rsa, shows::foreign_signed, shows::chain, shows::stolen}) {
      hostile_peer peer{port};
      const hostile_tls tls{.key = attacker::worker, .certificate = shown, .stolen = theirs};
      if (peer.handshake(tls)) {
        (void)peer.send(peer.hello_bytes(hello_as(1, 1)));
      }
      EXPECT_TRUE(peer.waits_for_close()) << port << ' ' << static_cast<int>(shown);
    }
    hostile_peer old{port};
    EXPECT_FALSE(old.handshake({.key = attacker::worker, .old_version = true})) << port;
    // What an admitted member said, byte by byte, on connections of another.
    hostile_peer honest = shaken(port, attacker::worker);
    (void)honest.introduce(hello_as(1, 1));
    (void)honest.message(3, 4, noise(4));
    for (int i = 0; i < 3; ++i) {
      hostile_peer replayer{port};
      (void)replayer.send_raw(honest.sent());
      EXPECT_TRUE(replayer.waits_for_close()) << port;
    }
  }
  expect_service();
}

TEST_F(hostile_node, tells_strangers_and_those_at_the_wrong_port_why_they_are_refused) {
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    for (const std::uint16_t channel : {std::uint16_t{1}, std::uint16_t{2}}) {
      EXPECT_THAT(verdict(listen(i), attacker::stranger, hello_as(channel, 1)),
                  HasSubstr("is not allowed here"));
      EXPECT_THAT(verdict(admin_port(i), attacker::worker, hello_as(channel, 1)),
                  HasSubstr("takes admin shells only"));
      // A worker does not become a scheduler, nor a reader a member.
      EXPECT_THAT(verdict(listen(i), attacker::worker, hello_as(channel, 2)),
                  HasSubstr("wants to be scheduler"));
      EXPECT_NE(verdict(listen(i), attacker::reader, hello_as(channel, 0x100)), "");
    }
    EXPECT_THAT(verdict(admin_port(i), attacker::stranger, hello_as(3, 0x300)),
                HasSubstr("is not allowed here"));
    EXPECT_THAT(verdict(listen(i), attacker::reader, hello_as(3, 0x300)),
                HasSubstr("takes members of the cluster only"));
    EXPECT_NE(verdict(admin_port(i), attacker::worker, hello_as(3, 0x300)), "");
    hostile_hello elsewhere = hello_as(1, 1);
    elsewhere.cluster = "production";
    EXPECT_NE(verdict(listen(i), attacker::worker, elsewhere), "");
  }
  for (const std::string& port : ports()) {
    hostile_peer huge = shaken(port, attacker::worker);
    std::vector<std::byte> hello = huge.hello_bytes(hello_as(1, 1));
    hello[6] = hello[7] = std::byte{0xff};
    (void)huge.send(hello);
    EXPECT_TRUE(huge.waits_for_close());
    hostile_peer noisy = shaken(port, attacker::worker);
    (void)noisy.send(noise(5'000));
    EXPECT_TRUE(noisy.waits_for_close());
  }
  expect_service();
}

TEST_F(hostile_node, gives_half_open_and_slow_connections_up_while_it_serves_others) {
  std::vector<hostile_peer> held;
  std::vector<hostile_peer> slow;
  for (const std::string& port : ports()) {
    for (std::size_t i = 0; i < 3; ++i) {
      held.emplace_back(port); // says nothing
      held.push_back(shaken(port, attacker::worker));
      const std::vector<std::byte> hello = held.back().hello_bytes(hello_as(1, 1));
      (void)held.back().send(std::span{hello}.first(i));
      held.emplace_back(port);
      (void)held.back().send_raw(bytes_of_text("\x16\x03\x01"));
    }
    slow.push_back(shaken(port, attacker::worker));
    slow.emplace_back(port);
    (void)slow.back().send_raw(bytes_of_text("\x16\x03\x01\x3f\xff\x01"));
  }
  expect_service(3);
  // A byte at a time of the hello, or of the handshake, for as long as somebody listens.
  std::vector<bool> open(slow.size(), true);
  std::vector<std::byte> hello = slow.front().hello_bytes(hello_as(1, 1));
  hello[6] = hello[7] = std::byte{0x0f}; // of 3855 bytes
  hello.resize(3'800);
  for (std::size_t n = 0; n < hello.size(); ++n) {
    for (std::size_t i = 0; i < slow.size(); ++i) {
      if (open[i]) {
        const auto byte = std::span{hello}.subspan(n, 1);
        open[i] = (i % 2 == 0 ? slow[i].send(byte) : slow[i].send_raw(byte)) &&
                  !slow[i].waits_for_close(std::chrono::milliseconds{2});
      }
    }
  }
  EXPECT_EQ(std::count(open.begin(), open.end(), true), 0);
  for (std::size_t i = 0; i < held.size(); ++i) {
    EXPECT_TRUE(held[i].waits_for_close()) << i;
  }
}

/// Lets this process hold so many descriptors while it lives.
class more_descriptors {
public:
  explicit more_descriptors(rlim_t wanted) {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit raised = before_;
    raised.rlim_cur = std::min(raised.rlim_max, std::max(wanted, raised.rlim_cur));
    setrlimit(RLIMIT_NOFILE, &raised);
  }
  ~more_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
  more_descriptors(const more_descriptors&) = delete;
  more_descriptors& operator=(const more_descriptors&) = delete;

private:
  rlimit before_{};
};

TEST_F(hostile_node, serves_on_while_a_thousand_connections_stand_at_each_of_its_ports) {
  const more_descriptors enough{2'048};
  for (const std::string& port : ports()) {
    std::vector<hostile_peer> crowd;
    crowd.reserve(1'000);
    for (int i = 0; i < 1'000; ++i) {
      crowd.emplace_back(port);
    }
    expect_service(1);
  }
  // There is room again for who knocks properly.
  const auto lets_in = [](const std::string& port, std::uint8_t key, const hostile_hello& hello) {
    hostile_peer peer{port};
    return peer.handshake({.key = key}) && peer.introduce(hello) == std::string{};
  };
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    EXPECT_TRUE(cluster_->wait_until([&] {
      return lets_in(listen(i), attacker::worker, hello_as(1, 1)) &&
             lets_in(admin_port(i), attacker::reader, hello_as(3, 0x300));
    })) << i;
  }
}

TEST_F(hostile_node, serves_on_while_one_key_opens_a_thousand_connections) {
  const more_descriptors enough{2'048};
  std::vector<hostile_peer> crowd;
  std::size_t admitted = 0;
  const auto add = [&](const std::string& port, std::uint8_t key, const hostile_hello& hello) {
    crowd.emplace_back(port);
    if (crowd.back().handshake({.key = key})) {
      admitted += crowd.back().introduce(hello) == std::string{} ? 1 : 0;
    }
  };
  for (int i = 0; i < 330; ++i) {
    add(listen(front), attacker::worker, hello_as(1, 1));
    add(listen(front), attacker::worker, hello_as(2, 1));
    add(admin_port(front), attacker::reader, hello_as(3, 0x300));
  }
  EXPECT_GT(admitted, 0U);
  expect_service(3);
}

} // namespace
} // namespace ovir::test
