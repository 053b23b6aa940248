#include "actors/quic/either_network.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <semaphore>
#include <string>
#include <vector>

// One node that echoes, and one that asks, over TCP or QUIC: the time to connect, round trips of a
// small message and of an activation, alone and beside a transfer of weights from the node that is
// asked. bench/transport_speed puts a network with delay and loss between the two.

namespace {

using namespace ovir;
using namespace ovir::actors;
using steady = std::chrono::steady_clock;

constexpr std::size_t probe_bytes = 256;
constexpr std::size_t activation_bytes = 64U << 10U;
constexpr std::size_t weights_bytes = 1U << 20U; ///< of one message
constexpr int weights_ahead = 8;                 ///< messages of weights under way
constexpr std::chrono::seconds patience{30};

using shared_bytes = std::shared_ptr<const std::vector<std::byte>>;

shared_bytes zeroes(std::size_t size) {
  return std::make_shared<const std::vector<std::byte>>(size);
}

secret_key transport_key(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

/// A message of the bulk channel asks for as many bytes as its target says.
class transport_end final : public network_handler {
public:
  transport_end(std::uint8_t key, bool echoes, const std::string& listen, link_transport transport)
      : key_(transport_key(key)), echoes_(echoes) {
    tls_options options;
    options.identity.cluster = "bench";
    options.listen = listen;
    options.transport = transport;
    auto started = start_links(key_, options, *this, start_tls);
    if (!started) {
      fmt::print(stderr, "transport_bench: {}\n", started.error().message);
      std::exit(1);
    }
    net_ = std::move(*started);
  }

  result<role_set> admit(const peer_hello& hello) override { return hello.roles; }
  void connected(const peer_info& /*peer*/) override { met_.release(); }
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override {
    if (echoes_) {
      const bool bulk = peer.kind == channel::bulk;
      (void)net_->send(peer.connection, kind, target, bulk ? zeroes(target) : std::move(bytes));
      return;
    }
    if (peer.kind == channel::bulk) {
      weights_.fetch_add(bytes->size());
      if (fetching_) {
        (void)net_->send(peer.connection, kind, weights_bytes, zeroes(1));
      }
    } else {
      arrived_.release();
    }
  }
  void closed(const peer_info& /*peer*/, const error& reason) override {
    if (!echoes_ && !over_) {
      fmt::print(stderr, "transport_bench: a connection ended: {}\n", reason.message);
    }
    met_.release();
    arrived_.release();
  }

  connection_id dial(const std::string& address, channel kind) {
    const connection_id id = net_->connect(address, kind, transport_key(1).id());
    if (!met_.try_acquire_for(patience)) {
      fmt::print(stderr, "transport_bench: no connection with {}\n", address);
      std::exit(1);
    }
    return id;
  }
  /// Milliseconds from a message to its echo.
  double round_trip(connection_id over, message_kind kind, const shared_bytes& bytes) {
    const steady::time_point began = steady::now();
    (void)net_->send(over, kind, 0, bytes);
    if (!arrived_.try_acquire_for(patience)) {
      fmt::print(stderr, "transport_bench: no echo in {} s\n", patience.count());
      std::exit(1);
    }
    return std::chrono::duration<double, std::milli>(steady::now() - began).count();
  }
  void fetch(connection_id over) {
    fetching_ = true;
    for (int i = 0; i < weights_ahead; ++i) {
      (void)net_->send(over, message_kind::weights, weights_bytes, zeroes(1));
    }
  }
  [[nodiscard]] std::uint64_t weights() const { return weights_.load(); }
  void end() {
    fetching_ = false;
    over_ = true;
    net_.reset();
  }

private:
  secret_key key_;
  const bool echoes_;
  std::atomic<bool> fetching_{false};
  std::atomic<bool> over_{false};
  std::atomic<std::uint64_t> weights_{0};
  std::counting_semaphore<> met_{0};
  std::counting_semaphore<> arrived_{0};
  std::unique_ptr<listening_network> net_;
};

struct spread {
  double median{0};
  double p99{0};
};

spread spread_of(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  const auto at = [&](double share) {
    return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
  };
  return {at(0.5), at(0.99)};
}

/// Alternately a small message and an activation, for so long.
std::pair<spread, spread> measure(transport_end& end, connection_id control, connection_id data,
                                  std::chrono::milliseconds time) {
  const shared_bytes probe = zeroes(probe_bytes);
  const shared_bytes activation = zeroes(activation_bytes);
  std::vector<double> probes;
  std::vector<double> activations;
  const steady::time_point until = steady::now() + time;
  do {
    probes.push_back(end.round_trip(control, message_kind::wire, probe));
    activations.push_back(end.round_trip(data, message_kind::tensor, activation));
  } while (steady::now() < until || activations.size() < 5);
  return {spread_of(std::move(probes)), spread_of(std::move(activations))};
}

int ask(const std::string& address, link_transport transport, std::chrono::milliseconds time) {
  transport_end end{2, false, {}, transport};
  const steady::time_point began = steady::now();
  const connection_id control = end.dial(address, channel::control);
  const connection_id data = end.dial(address, channel::data);
  const double connecting =
      std::chrono::duration<double, std::milli>(steady::now() - began).count();
  const auto [probe, activation] = measure(end, control, data, time);
  end.fetch(end.dial(address, channel::bulk));
  (void)measure(end, control, data, time / 4); // until the transfer has its speed
  const std::uint64_t before = end.weights();
  const steady::time_point fetching = steady::now();
  const auto [probe_beside, activation_beside] = measure(end, control, data, time);
  const double seconds = std::chrono::duration<double>(steady::now() - fetching).count();
  const double rate = static_cast<double>(end.weights() - before) / seconds / 1e6;
  end.end();
  fmt::print(
      "{:4} | {:7.1f} | {:7.2f} {:8.2f} | {:7.2f} {:8.2f} | {:7.2f} {:8.2f} | {:7.2f} {:8.2f} "
      "| {:7.2f}\n",
      to_string(transport), connecting, probe.median, probe.p99, activation.median, activation.p99,
      probe_beside.median, probe_beside.p99, activation_beside.median, activation_beside.p99, rate);
  return 0;
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"TCP beside QUIC between two processes"};
  std::string word = "tcp";
  std::string address;
  unsigned milliseconds = 2'000;
  app.add_option("--transport", word, "tcp or quic")->check(CLI::IsMember({"tcp", "quic"}));
  app.add_option("--time", milliseconds, "of each measurement, in ms (default 2000)");
  app.require_subcommand(1);
  auto* const serve = app.add_subcommand("serve", "echoes until it gets SIGTERM");
  serve->add_option("ADDRESS", address, "HOST:PORT to listen on")->required();
  auto* const asks = app.add_subcommand("ask", "measures, and prints one line");
  asks->add_option("ADDRESS", address, "HOST:PORT of the one that serves")->required();
  CLI11_PARSE(app, argc, argv);
  const link_transport transport = link_transport_from(word).value_or(link_transport::tcp);
  if (*asks) {
    return ask(address, transport, std::chrono::milliseconds{milliseconds});
  }
  sigset_t ending;
  sigemptyset(&ending);
  sigaddset(&ending, SIGTERM);
  sigaddset(&ending, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  transport_end end{1, true, address, transport};
  fmt::print("listens\n");
  (void)std::fflush(stdout);
  int signal = 0;
  sigwait(&ending, &signal);
  end.end();
  return 0;
}
