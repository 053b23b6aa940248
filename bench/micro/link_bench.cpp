#include "actors/link/tls_network.hpp"

#include <benchmark/benchmark.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <semaphore>

// Links between two nodes of one process over loopback: the time of an echo, and frames a second
// with eight under way. Both ends share this machine's processors, so a real network has twice the
// processor time for it.

namespace {

using namespace ovir;
using namespace ovir::actors;

using shared_bytes = std::shared_ptr<const std::vector<std::byte>>;

secret_key key_of(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

/// Sends back what comes, or counts it.
class end final : public network_handler {
public:
  explicit end(std::uint8_t key, bool echoes) : key_(key_of(key)), echoes_(echoes) {
    tls_options options;
    options.identity.cluster = "bench";
    options.listen = "127.0.0.1:0";
    auto started = tls_network::start(key_, options, *this);
    if (!started) {
      std::fprintf(stderr, "%s\n", started.error().message.c_str());
      std::abort();
    }
    net_ = std::move(*started);
  }

  result<role_set> admit(const peer_hello& hello) override { return hello.roles; }
  void connected(const peer_info& peer) override {
    connection_ = peer.connection.value;
    met_.release();
  }
  void received(const peer_info& peer, message_kind kind, std::uint32_t target,
                received_bytes bytes) override {
    if (echoes_) {
      (void)net_->send(peer.connection, kind, target, std::move(bytes));
    } else {
      arrived_.release();
    }
  }
  void closed(const peer_info& /*peer*/, const error& /*reason*/) override { gone_.release(); }

  void connect(end& other, channel kind) {
    (void)net_->connect(other.net_->listen_address(), kind, other.key_.id());
    met_.acquire();
    other.met_.acquire();
  }
  void send(message_kind kind, const shared_bytes& bytes) {
    if (!net_->send(connection_id{connection_.load()}, kind, 0, bytes)) {
      std::abort();
    }
  }
  void wait() { arrived_.acquire(); }
  void disconnect(end& other) {
    net_->close(connection_id{connection_.load()}, {errc::cancelled, "done"});
    gone_.acquire();
    other.gone_.acquire();
  }

private:
  secret_key key_;
  bool echoes_;
  std::atomic<std::uint64_t> connection_{0};
  std::counting_semaphore<> met_{0};
  std::counting_semaphore<> arrived_{0};
  std::counting_semaphore<> gone_{0};
  std::unique_ptr<tls_network> net_;
};

void echo(benchmark::State& state, channel kind, message_kind what) {
  end server{1, true};
  end client{2, false};
  client.connect(server, kind);
  const auto under_way = static_cast<int>(state.range(1));
  const auto bytes =
      std::make_shared<const std::vector<std::byte>>(static_cast<std::size_t>(state.range(0)));
  for (int i = 1; i < under_way; ++i) {
    client.send(what, bytes);
  }
  for (auto step : state) {
    (void)step;
    client.send(what, bytes);
    client.wait();
  }
  for (int i = 1; i < under_way; ++i) {
    client.wait();
  }
  // Each way carries them.
  state.SetBytesProcessed(state.iterations() * state.range(0));
}

void control_echo(benchmark::State& state) { echo(state, channel::control, message_kind::wire); }
void data_echo(benchmark::State& state) { echo(state, channel::data, message_kind::tensor); }

BENCHMARK(control_echo)->Args({64, 1})->UseRealTime();
BENCHMARK(data_echo)
    ->Args({64, 1})
    ->Args({16 << 10, 1})
    ->Args({256 << 10, 1})
    ->Args({1 << 20, 1})
    ->Args({4 << 20, 1})
    ->Args({16 << 10, 8})
    ->Args({256 << 10, 8})
    ->Args({1 << 20, 8})
    ->UseRealTime();

void connect_admit_and_close(benchmark::State& state) {
  end server{1, true};
  end client{2, false};
  for (auto step : state) {
    (void)step;
    client.connect(server, channel::control);
    client.disconnect(server);
  }
}
BENCHMARK(connect_admit_and_close)->UseRealTime();

} // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::AddCustomContext("compiler", OVIR_BENCH_COMPILER);
  benchmark::AddCustomContext("build", OVIR_BENCH_BUILD);
#if !defined(__OPTIMIZE__)
  std::fprintf(stderr, "warning: built without optimisation; these numbers mean nothing\n");
#endif
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
