// Connections that ask for nothing, by the thousand and from the address of those that do: at every
// port a new node, an operator and a client are served meanwhile.
#include "tests/support/cluster/cli.hpp"
#include "tests/support/cluster/hostile_peer.hpp"
#include "tests/support/cluster/test_cluster.hpp"
#include "tests/support/http_client.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <iostream>
#include <mutex>
#include <thread>

namespace ovir::test {
namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using clock = std::chrono::steady_clock;

constexpr std::size_t crowd_per_port = 1'000;
/// Far more than a loaded machine needs, and less than a held place lasted.
constexpr milliseconds patience = 10s;

/// A port and what its connections say before they say nothing more, in turn.
struct crowded_port {
  std::uint16_t port{0};
  std::vector<std::string> greetings;
};

/// Connections that never read, and are made anew as soon as the other side closes them.
class idle_crowd {
public:
  explicit idle_crowd(std::vector<crowded_port> ports) : ports_(std::move(ports)) {
    for (std::size_t p = 0; p < ports_.size(); ++p) {
      for (std::size_t i = 0; i < crowd_per_port; ++i) {
        pollfd one{-1, POLLRDHUP, 0};
        open(one, p, i);
        held_.push_back(one);
      }
    }
    thread_ = std::thread{[this] { renew(); }};
  }
  ~idle_crowd() {
    {
      const std::lock_guard lock{guard_};
      stopping_ = true;
    }
    stopped_.notify_all();
    thread_.join();
    for (const pollfd& one : held_) {
      ::close(one.fd);
    }
  }
  idle_crowd(const idle_crowd&) = delete;
  idle_crowd& operator=(const idle_crowd&) = delete;

private:
  static constexpr int renewed_per_round = 50;

  void open(pollfd& one, std::size_t p, std::size_t number) {
    if (one.fd >= 0) {
      ::close(one.fd);
    }
    one.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in end{};
    end.sin_family = AF_INET;
    end.sin_port = htons(ports_[p].port);
    end.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(one.fd, reinterpret_cast<const sockaddr*>(&end), sizeof end) == 0) {
      const std::string& said = ports_[p].greetings[number % ports_[p].greetings.size()];
      (void)::send(one.fd, said.data(), said.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }

  void renew() {
    std::unique_lock lock{guard_};
    while (!stopping_) {
      int left = ::poll(held_.data(), held_.size(), 0) > 0 ? renewed_per_round : 0;
      const std::size_t from = next_++ % ports_.size() * crowd_per_port;
      for (std::size_t i = 0; i < held_.size() && left > 0; ++i) {
        const std::size_t at = (from + i) % held_.size();
        if (held_[at].revents != 0) {
          open(held_[at], at / crowd_per_port, at % crowd_per_port);
          --left;
        }
      }
      stopped_.wait_for(lock, 10ms);
    }
  }

  std::vector<crowded_port> ports_;
  std::vector<pollfd> held_;
  std::size_t next_{0};
  std::mutex guard_;
  std::condition_variable stopped_;
  bool stopping_{false};
  std::thread thread_;
};

std::uint16_t port_of(const std::string& address) {
  return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
}

class hole_14 : public ::testing::Test {
protected:
  static constexpr std::size_t late = 2;

  void SetUp() override {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit raised = before_;
    raised.rlim_cur = raised.rlim_max;
    setrlimit(RLIMIT_NOFILE, &raised);
    cluster_ = std::make_unique<test_cluster>(
        cluster_spec{.nodes = {{"first", {"scheduler", "worker"}, {{"embedded"}}},
                               {"second", {"worker"}, {{"embedded"}}},
                               {"late", {"worker"}, {{"embedded"}}}}});
    http_ = free_port();
    metrics_ = free_port();
    std::string text = read_file(cluster_->config(0));
    text +=
        fmt::format("[gateway]\nlisten = \"127.0.0.1:{}\"\n[metrics]\nlisten = \"127.0.0.1:{}\"\n",
                    http_, metrics_);
    write_file(cluster_->config(0), text);
    cluster_->start(0);
    cluster_->start(1);
    cluster_->wait_until_whole();
    wait_until_ready(http_);
    for (std::size_t i = 0; i < 2; ++i) {
      watching_.emplace_back(new cluster_shell(cluster_->shell({i})));
    }
  }
  void TearDown() override {
    watching_.clear();
    cluster_.reset();
    setrlimit(RLIMIT_NOFILE, &before_);
  }

  [[nodiscard]] std::string listen(std::size_t node) {
    const apps::json nodes = watching_[node]->data("nodes").at("nodes");
    for (const apps::json& n : nodes) {
      if (n.at("self").get<bool>()) {
        return n.at("address");
      }
    }
    throw std::runtime_error("the node does not list itself");
  }

  /// How long `ovir shell -e nodes` takes, which has to succeed.
  milliseconds operator_served() const {
    const auto begun = clock::now();
    const child_result shell =
        run_ovir({"shell", "--connect", cluster_->admin_address(0), "--key", cluster_->admin_key(),
                  "--deadline", "10000", "-e", "nodes"});
    EXPECT_EQ(shell.exit_code, 0) << shell.err;
    return std::chrono::duration_cast<milliseconds>(clock::now() - begun);
  }
  milliseconds client_served() const {
    const auto begun = clock::now();
    const http_answer answer = http_ask(http_, "POST", "/v1/completions",
                                        R"({"model": "embedded", "prompt": "a", "max_tokens": 2})");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return std::chrono::duration_cast<milliseconds>(clock::now() - begun);
  }
  milliseconds scrape_served() const {
    const auto begun = clock::now();
    EXPECT_EQ(http_ask(metrics_, "GET", "/metrics").status, 200);
    return std::chrono::duration_cast<milliseconds>(clock::now() - begun);
  }
  [[nodiscard]] bool sees_late(std::size_t node) const {
    const apps::json nodes = watching_[node]->data("nodes").at("nodes");
    return std::any_of(nodes.begin(), nodes.end(), [](const apps::json& n) {
      return n.value("name", "") == "late" && n.value("health", "") == "alive";
    });
  }
  /// From the start of its process until both others hold it for alive.
  milliseconds node_joined() {
    const auto begun = clock::now();
    cluster_->start(late);
    for (std::size_t i = 0; i < watching_.size(); ++i) {
      EXPECT_TRUE(cluster_->wait_until([this, i] { return sees_late(i); }, patience))
          << "the new node is not seen\n"
          << cluster_->last_words();
    }
    return std::chrono::duration_cast<milliseconds>(clock::now() - begun);
  }

  rlimit before_{};
  std::uint16_t http_{0};
  std::uint16_t metrics_{0};
  std::unique_ptr<test_cluster> cluster_;
  std::vector<std::unique_ptr<cluster_shell>> watching_;
};

TEST_F(hole_14, a_thousand_idle_connections_at_each_port_keep_no_one_out) {
  // What a stranger's TLS client says first, byte by byte.
  hostile_peer stranger{listen(0)};
  ASSERT_TRUE(stranger.handshake({.key = 0x50}));
  const std::vector<std::byte>& sent = stranger.sent();
  const std::size_t record =
      5 + (std::to_integer<std::size_t>(sent[3]) << 8U) + std::to_integer<std::size_t>(sent[4]);
  const std::string hello{reinterpret_cast<const char*>(sent.data()), record};

  const milliseconds quiet_operator = operator_served();
  const milliseconds quiet_client = client_served();
  const milliseconds quiet_scrape = scrape_served();
  const milliseconds quiet_join = node_joined();
  (void)cluster_->terminate(late);
  for (std::size_t i = 0; i < watching_.size(); ++i) {
    ASSERT_TRUE(cluster_->wait_until([this, i] { return !sees_late(i); }));
  }

  const std::vector<std::string> tls{"", hello.substr(0, 3), hello.substr(0, hello.size() / 2),
                                     hello};
  const std::vector<std::string> http{"", "GET /health HTTP/1.1\r\nHost: x\r\n",
                                      "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"};
  const idle_crowd crowd{{{port_of(listen(0)), tls},
                          {port_of(listen(1)), tls},
                          {port_of(cluster_->admin_address(0)), tls},
                          {http_, http},
                          {metrics_, http}}};
  const milliseconds join = node_joined();
  const milliseconds shell = operator_served();
  const milliseconds client = client_served();
  const milliseconds scrape = scrape_served();
  std::cout << fmt::format(
      "new node {} ms ({} without the crowd), operator {} ({}), client {} ({}), "
      "metrics {} ({})\n",
      join.count(), quiet_join.count(), shell.count(), quiet_operator.count(), client.count(),
      quiet_client.count(), scrape.count(), quiet_scrape.count());
  EXPECT_LT(join, patience + quiet_join);
  EXPECT_LT(shell, patience + quiet_operator);
  EXPECT_LT(client, patience + quiet_client);
  EXPECT_LT(scrape, patience + quiet_scrape);
}

} // namespace
} // namespace ovir::test
