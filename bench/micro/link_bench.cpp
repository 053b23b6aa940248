#include "actors/shared/shared_network.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <semaphore>
#include <vector>

// Links between two nodes of one process over loopback: the time of an echo, and frames a second
// with eight under way, over TLS and through shared memory, sleeping and busy. `*_ratio` measures
// TLS and memory in turn and reports how many times as long a hop over TLS takes. Both ends share
// this machine's processors, so a real network has twice the processor time for it.

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
  end(std::uint8_t key, bool echoes, bool shares = false, int busy_us = 0)
      : key_(key_of(key)), echoes_(echoes) {
    tls_options options;
    options.shared_memory = shares;
    options.busy_read = std::chrono::microseconds{busy_us};
    options.identity.life = std::random_device{}();
    traffic_ = options.traffic;
    options.identity.cluster = "bench";
    options.listen = "127.0.0.1:0";
    auto started = shared_network::start(key_, options, *this, start_tls);
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
  /// Echoes until they take the memory.
  void reach_memory(message_kind kind, const end& other) {
    const auto ping = std::make_shared<const std::vector<std::byte>>(1);
    while (traffic_->shared_sent.load() == 0 || other.traffic_->shared_sent.load() == 0) {
      send(kind, ping);
      wait();
    }
  }
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
  std::shared_ptr<network_traffic> traffic_;
  std::unique_ptr<listening_network> net_;
};

void echo(benchmark::State& state, channel kind, message_kind what, bool shares = false,
          int busy_us = 0) {
  end server{1, true, shares, busy_us};
  end client{2, false, shares, busy_us};
  client.connect(server, kind);
  if (shares) {
    client.reach_memory(what, server);
  }
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

/// Two links at once, and a hop over each in turn.
void ratio(benchmark::State& state, int busy_us) {
  using clock = std::chrono::steady_clock;
  end far_tls{1, true, false, busy_us};
  end near_tls{2, false, false, busy_us};
  near_tls.connect(far_tls, channel::data);
  end far_memory{3, true, true, busy_us};
  end near_memory{4, false, true, busy_us};
  near_memory.connect(far_memory, channel::data);
  near_memory.reach_memory(message_kind::tensor, far_memory);
  const auto bytes =
      std::make_shared<const std::vector<std::byte>>(static_cast<std::size_t>(state.range(0)));
  const auto hop = [&](end& from) {
    const auto began = clock::now();
    from.send(message_kind::tensor, bytes);
    from.wait();
    return std::chrono::duration<double>(clock::now() - began).count() / 2;
  };
  std::vector<double> ratios;
  for (auto step : state) {
    (void)step;
    const double tls = hop(near_tls);
    ratios.push_back(tls / hop(near_memory));
  }
  std::nth_element(ratios.begin(), ratios.begin() + static_cast<std::ptrdiff_t>(ratios.size() / 2),
                   ratios.end());
  state.counters["tls_by_memory"] = ratios[ratios.size() / 2];
}

void hop_ratio(benchmark::State& state) { ratio(state, 0); }
void busy_hop_ratio(benchmark::State& state) { ratio(state, 100); }
BENCHMARK(hop_ratio)->Arg(64)->Arg(16 << 10)->Arg(256 << 10)->Arg(1 << 20)->UseRealTime();
BENCHMARK(busy_hop_ratio)->Arg(64)->Arg(16 << 10)->UseRealTime();

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

void memory_echo(benchmark::State& state) {
  echo(state, channel::data, message_kind::tensor, true);
}
void busy_memory_echo(benchmark::State& state) {
  echo(state, channel::data, message_kind::tensor, true, 100);
}
BENCHMARK(memory_echo)
    ->Args({64, 1})
    ->Args({16 << 10, 1})
    ->Args({256 << 10, 1})
    ->Args({1 << 20, 1})
    ->Args({4 << 20, 1})
    ->Args({16 << 10, 8})
    ->Args({256 << 10, 8})
    ->UseRealTime();
BENCHMARK(busy_memory_echo)->Args({64, 1})->Args({16 << 10, 1})->UseRealTime();

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
