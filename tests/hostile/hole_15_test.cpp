// A member that fills the others' tables with nodes that are not there, answers for them, and names
// addresses of its choosing for the others to connect to.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/hostile_peer.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <set>
#include <thread>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;
using bytes = std::vector<std::byte>;
using clock = std::chrono::steady_clock;

constexpr std::uint8_t member_key = 0x51;
constexpr std::uint8_t issuer_key = 0x54;
constexpr std::size_t ghosts_max = 63;

secret_key key_of(std::uint8_t first, std::uint8_t rest) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(rest));
  seed[0] = static_cast<std::byte>(first);
  return secret_key::from_seed(seed);
}

/// Integers are little-endian, as docs/formats/gossip.md says.
void put(bytes& out, std::uint64_t value, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    out.push_back(static_cast<std::byte>(value >> (8 * i) & 0xffU));
  }
}
void put(bytes& out, std::string_view text) {
  put(out, text.size(), 2);
  const auto raw = std::as_bytes(std::span{text});
  out.insert(out.end(), raw.begin(), raw.end());
}
void put(bytes& out, std::span<const std::uint8_t> raw) {
  const auto view = std::as_bytes(raw);
  out.insert(out.end(), view.begin(), view.end());
}
bytes begin_gossip(std::uint8_t kind) {
  bytes out;
  for (const char c : {'O', 'V', 'G', '1'}) {
    out.push_back(static_cast<std::byte>(c));
  }
  put(out, kind, 1);
  return out;
}

/// An update: an advert of a worker of this key at this address, signed.
bytes advert_of(const secret_key& key, std::uint64_t incarnation, const std::string& name,
                const std::string& address) {
  bytes said;
  put(said, key.id().key);
  put(said, incarnation, 8);
  put(said, 1, 2);
  put(said, 0, 1);
  put(said, name);
  put(said, address);
  put(said, std::string_view{});
  put(said, 0, 2);         // segments
  put(said, 1U << 30U, 8); // memory
  put(said, 1U << 30U, 8);
  put(said, 0, 8);
  put(said, 0, 8);
  put(said, 0, 4);
  put(said, 1'000'000, 4);
  put(said, 0, 2); // round trips
  const signature proof = key.sign("ovir/advert/v1", said);
  bytes out;
  put(out, 1, 1);
  out.insert(out.end(), said.begin(), said.end());
  put(out, proof.bytes);
  return out;
}

/// An address that others are made to connect to. Closes what comes, and counts it.
class victim {
public:
  victim() : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_in end{};
    end.sin_family = AF_INET;
    socklen_t size = sizeof end;
    if (::bind(descriptor_, reinterpret_cast<const sockaddr*>(&end), sizeof end) != 0 ||
        ::listen(descriptor_, 128) != 0 ||
        ::getsockname(descriptor_, reinterpret_cast<sockaddr*>(&end), &size) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(end.sin_port);
    thread_ = std::thread{[this] { count(); }};
  }
  ~victim() {
    stopping_.store(true);
    thread_.join();
    ::close(descriptor_);
  }
  victim(const victim&) = delete;
  victim& operator=(const victim&) = delete;

  /// Another one for each number, all of the same socket.
  [[nodiscard]] std::string address(std::size_t number) const {
    return fmt::format("127.0.0.{}:{}", 1 + number % 200, port_);
  }
  [[nodiscard]] std::size_t connections() const { return count_.load(); }

private:
  void count() {
    while (!stopping_.load()) {
      pollfd one{descriptor_, POLLIN, 0};
      (void)::poll(&one, 1, 20);
      for (int came = 0; (came = ::accept(descriptor_, nullptr, nullptr)) >= 0;) {
        ::close(came);
        count_.fetch_add(1);
      }
    }
  }

  int descriptor_;
  std::uint16_t port_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> count_{0};
  std::thread thread_;
};

/// A member at one node, with valid keys for itself and for all its ghosts.
class ghost_maker {
public:
  ghost_maker(std::string node, const victim& target) : node_(std::move(node)), target_(target) {
    for (std::size_t i = 0; i < ghosts_max; ++i) {
      const auto key = std::make_shared<secret_key>(key_of(static_cast<std::uint8_t>(i), 0x99));
      ghosts_.push_back(key);
      by_id_[key->id()] = key;
    }
    thread_ = std::thread{[this] { haunt(); }};
  }
  ~ghost_maker() { stop(); }
  ghost_maker(const ghost_maker&) = delete;
  ghost_maker& operator=(const ghost_maker&) = delete;

  [[nodiscard]] bool told() const { return rounds_.load() > 0; }
  void stop() {
    stopping_.store(true);
    if (thread_.joinable()) {
      thread_.join();
    }
  }

private:
  static constexpr std::size_t told_at_once = 21;

  void haunt() {
    while (!stopping_.load()) {
      try {
        hostile_hello hello;
        hostile_peer control{node_};
        hostile_peer data{node_};
        hello.channel = 1;
        const bool met =
            control.handshake({.key = member_key}) && control.introduce(hello) == std::string{};
        hello.channel = 2;
        if (met && data.handshake({.key = member_key}) && data.introduce(hello) == std::string{}) {
          talk(control);
        }
      } catch (const std::runtime_error&) {
        // The node closed it: begin again.
      }
    }
  }

  void talk(hostile_peer& control) {
    const node_id node = control.other();
    auto next = clock::now();
    while (!stopping_.load()) {
      if (clock::now() >= next) {
        next = clock::now() + 1s;
        if (!tell(control)) {
          return;
        }
        rounds_.fetch_add(1);
      }
      const auto asked = clock::now();
      const bytes header = control.receive(16, 50ms);
      if (header.empty()) {
        if (clock::now() - asked < 25ms) {
          return; // it is not that nothing came: the node closed it
        }
        continue;
      }
      std::uint32_t size = 0;
      std::memcpy(&size, header.data(), sizeof size);
      const bytes said = control.receive(size);
      if (header[4] == std::byte{3} && !said.empty() && !answer(control, node, said)) {
        return;
      }
    }
  }

  /// Its own advert and those of all its ghosts.
  bool tell(hostile_peer& control) {
    ++incarnation_;
    for (std::size_t first = 0; first < ghosts_.size(); first += told_at_once) {
      const std::size_t last = std::min(first + told_at_once, ghosts_.size());
      bytes message = begin_gossip(7);
      put(message, last - first + 1, 2);
      const bytes own = advert_of(key_of(member_key, member_key), incarnation_, "maker", "");
      message.insert(message.end(), own.begin(), own.end());
      for (std::size_t i = first; i < last; ++i) {
        const bytes ghost = advert_of(*ghosts_[i], incarnation_, fmt::format("ghost-{}", i),
                                      target_.address(i + moved_));
        message.insert(message.end(), ghost.begin(), ghost.end());
      }
      if (!control.message(3, static_cast<std::uint32_t>(message.size()), message)) {
        return false;
      }
    }
    moved_ += ghosts_max;
    return true;
  }

  /// Pings of it, and the signs of life that a node wants of others.
  bool answer(hostile_peer& control, const node_id& node, const bytes& said) {
    const auto kind = said.size() > 13 ? std::to_integer<int>(said[4]) : 0;
    const std::span<const std::byte> nonce =
        std::span{said}.subspan(kind == 0 ? 0 : 5).first(kind == 0 ? 0 : 8);
    bytes reply;
    if (kind == 1) {
      reply = begin_gossip(2);
      reply.insert(reply.end(), nonce.begin(), nonce.end());
    } else if ((kind == 3 || kind == 4) && said.size() >= 45) {
      node_id named;
      std::memcpy(named.key.data(), said.data() + 13, named.key.size());
      const node_id& requester = kind == 3 ? node : named;
      const auto ghost = by_id_.find(named);
      if (kind == 3 && ghost == by_id_.end()) {
        return true;
      }
      const secret_key own = key_of(member_key, member_key);
      const secret_key& signs = kind == 3 ? *ghost->second : own;
      bytes over;
      put(over, requester.key);
      over.insert(over.end(), nonce.begin(), nonce.end());
      const signature proof = signs.sign("ovir/life-sign/v1", over);
      reply = begin_gossip(5);
      reply.insert(reply.end(), nonce.begin(), nonce.end());
      put(reply, signs.id().key);
      put(reply, requester.key);
      put(reply, proof.bytes);
    } else {
      return true;
    }
    put(reply, 0, 2);
    return control.message(3, static_cast<std::uint32_t>(reply.size()), reply);
  }

  std::string node_;
  const victim& target_;
  std::vector<std::shared_ptr<secret_key>> ghosts_;
  std::map<node_id, std::shared_ptr<secret_key>> by_id_;
  std::uint64_t incarnation_{std::uint64_t{1} << 42U};
  std::size_t moved_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> rounds_{0};
  std::thread thread_;
};

class hole_15 : public ::testing::Test {
protected:
  static constexpr std::size_t late = 2;

  void SetUp() override {
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = {{"first", {"scheduler", "worker"}, {{"embedded"}}},
                               {"second", {"worker"}, {{"embedded"}}},
                               {"late", {"worker"}, {{"embedded"}}}}});
    for (std::size_t i = 0; i < cluster_->size(); ++i) {
      // Where join tokens count, any key may be one that comes with a token.
      write_file(
          cluster_->config(i),
          fmt::format("admins = [\"{}\"]\n{}[[access]]\nkey = \"{}\"\nroles = [\"worker\"]\n",
                      to_hex(key_of(issuer_key, issuer_key).id()), read_file(cluster_->config(i)),
                      to_hex(key_of(member_key, member_key).id())));
    }
    cluster_->start(0);
    cluster_->start(1);
    cluster_->wait_until_whole();
  }

  [[nodiscard]] std::vector<std::string> names(std::size_t node) const {
    std::vector<std::string> all;
    const apps::json nodes = cluster_->ask(node, "nodes").at("nodes");
    for (const apps::json& n : nodes) {
      all.push_back(n.value("name", ""));
    }
    return all;
  }
  [[nodiscard]] bool sees_late(std::size_t node) const {
    const apps::json nodes = cluster_->ask(node, "nodes").at("nodes");
    return std::any_of(nodes.begin(), nodes.end(), [](const apps::json& n) {
      return n.value("name", "") == "late" && n.value("health", "") == "alive";
    });
  }
  [[nodiscard]] std::string listen(std::size_t node) const {
    const apps::json nodes = cluster_->ask(node, "nodes").at("nodes");
    for (const apps::json& n : nodes) {
      if (n.at("self").get<bool>()) {
        return n.at("address");
      }
    }
    throw std::runtime_error("the node does not list itself");
  }

  std::unique_ptr<test_cluster> cluster_;
};

TEST_F(hole_15, a_member_that_invents_nodes_fills_no_table_and_aims_no_connections) {
  const victim target;
  const auto begun = clock::now();
  ghost_maker at_first{listen(0), target};
  ghost_maker at_second{listen(1), target};
  ASSERT_TRUE(cluster_->wait_until([&] { return at_first.told() && at_second.told(); }));
  EXPECT_NE(cluster_->ask(0, "run --max-tokens 2 --temp 0 Once").value("text", ""), "");

  cluster_->start(late);
  for (std::size_t i = 0; i < cluster_->size(); ++i) {
    EXPECT_TRUE(cluster_->wait_until(
        [&] {
          try {
            return sees_late(i);
          } catch (const std::runtime_error&) {
            return false; // it is only starting
          }
        },
        20s))
        << i << " does not see the new node";
  }
  EXPECT_NE(cluster_->ask(0, "run --max-tokens 2 --temp 0 Twice").value("text", ""), "");
  for (std::size_t i = 0; i < 2; ++i) {
    const std::vector<std::string> seen = names(i);
    const auto ghosts = std::count_if(seen.begin(), seen.end(), [](const std::string& name) {
      return name.starts_with("ghost-");
    });
    EXPECT_EQ(ghosts, 0) << i << " takes ghosts for members";
  }
  at_first.stop();
  at_second.stop();
  // Each node connects sixteen times at once because of one member, and once a second after that.
  const auto seconds = static_cast<std::size_t>(
      std::chrono::ceil<std::chrono::seconds>(clock::now() - begun).count());
  std::cout << target.connections() << " connections in " << seconds << " s\n";
  EXPECT_LE(target.connections(), cluster_->size() * (16 + seconds + 1));
}

} // namespace
} // namespace ovir::test
