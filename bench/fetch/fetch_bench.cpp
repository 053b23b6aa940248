// How fast weights are fetched over loopback: the actors of a node, once over links as nodes have
// them and once over the same messages without TLS. Both ends are in this process; a round that
// fetches pays for sending, receiving, hashing and writing on the same processors.
#include "actors/link/tls_network.hpp"
#include "actors/weights/fetcher_actor.hpp"
#include "actors/weights/weights_source_actor.hpp"
#include "bench/fetch/plain_network.hpp"
#include "messages/caf/system_config.hpp"

#include <caf/all.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>

namespace {

using namespace ovir;
using namespace ovir::actors;
using clock = std::chrono::steady_clock;

constexpr double mb = 1e6;

class complaint_log final : public log {
public:
  void write(log_level, std::optional<request_id>, std::string_view text) override {
    fmt::print(stderr, "{}\n", text);
  }
  [[nodiscard]] log_level level() const noexcept override { return log_level::warn; }
  void set_level(log_level) noexcept override {}
};

secret_key key_of(std::uint8_t value) {
  std::array<std::byte, secret_key::seed_size> seed{};
  seed.fill(static_cast<std::byte>(value));
  return secret_key::from_seed(seed);
}

role_set worker() { return role_set{}.add(role::worker); }

template <class T>
T need(result<T> made) {
  if (!made) {
    throw std::runtime_error(made.error().message);
  }
  return std::move(*made);
}

/// A side: keys, access and the way from links to actors.
struct side {
  side(storage::env& env, std::uint8_t number, std::uint8_t other)
      : key(key_of(number)),
        access(need(access_list::load(env, {{{key_of(other).id(), worker()}}, {}, {}, "bench"}))),
        links(key.id(), *access, journal, [&env] { return env.unix_seconds(); }) {}

  secret_key key;
  complaint_log journal;
  std::unique_ptr<access_list> access;
  peers links;
};

/// Resident bytes of this process that no file backs, now or at most.
std::uint64_t status_bytes(const std::string& what) {
  std::ifstream file{"/proc/self/status"};
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(what)) {
      return std::stoull(line.substr(what.size() + 1)) << 10U;
    }
  }
  return 0;
}

struct outcome {
  double seconds{0};
  fetch_progress fetched;
  std::uint64_t memory{0}; ///< most anonymous bytes seen beyond those before
};

class round_trip {
public:
  round_trip(storage::env& env, const std::shared_ptr<const catalog_model>& model)
      : env_(env), from_(env, 1, 2), to_(env, 2, 1), id_(model->id) {
    has_.put(model);
  }

  outcome run(bool tls, const std::string& state, std::uint64_t window, std::uint32_t layers) {
    std::unique_ptr<network> at_source;
    std::unique_ptr<network> at_asker;
    std::string address = "bench:1";
    if (tls) {
      tls_options how;
      how.identity.cluster = "bench";
      how.identity.roles = worker();
      how.listen = "127.0.0.1:0";
      auto source = need(tls_network::start(from_.key, how, from_.links));
      address = source->listen_address();
      at_source = std::move(source);
      at_asker = need(tls_network::start(to_.key, how, to_.links));
    } else {
      const auto [one, other] = bench::connected_sockets();
      const auto peer = [](const side& of, bool incoming) {
        return peer_info{connection_id{1}, of.key.id(), channel::bulk,
                         worker(),         "bench:1",   incoming};
      };
      at_source = std::make_unique<bench::plain_end>(one, peer(to_, true), from_.links);
      at_asker = std::make_unique<bench::plain_end>(other, peer(from_, false), to_.links);
    }
    from_.links.use(at_source.get());
    to_.links.use(at_asker.get());
    const outcome seen = fetch(tls, *at_source, *at_asker, address, state, window, layers);
    from_.links.use(static_cast<network*>(nullptr));
    to_.links.use(static_cast<network*>(nullptr));
    return seen;
  }

private:
  outcome fetch(bool tls, network& at_source, network& at_asker, const std::string& address,
                const std::string& state, std::uint64_t window, std::uint32_t layers) {
    system_config config{system_config::threads(1)};
    caf::actor_system system{config};
    caf::scoped_actor self{system};
    peers::receivers at_from;
    at_from.source = system.spawn<caf::detached>(
        source_behavior, source_environment{&from_.links, &has_, &from_.journal, &env_, 0});
    from_.links.use(at_from);
    fetcher_environment around;
    around.self = to_.key.id();
    around.links = &to_.links;
    around.models = &empty_;
    around.journal = &to_.journal;
    around.env = &env_;
    around.state = state;
    around.room.memory = std::uint64_t{1} << 50U;
    around.settings.window_bytes = window;
    const caf::actor fetcher = system.spawn<caf::detached>(fetcher_behavior, around);
    peers::receivers at_to;
    at_to.fetcher = fetcher;
    to_.links.use(at_to);
    member source;
    source.node = from_.key.id();
    source.advert.address = address;
    source.advert.held = {{id_, {0, layers}, layers}};
    self->send(fetcher, members_changed{std::make_shared<const std::vector<member>>(
                            std::vector<member>{source})});
    std::promise<result<fetched_segment>> done;
    auto answered = done.get_future();
    const std::uint64_t before = status_bytes("RssAnon:");
    const auto start = clock::now();
    self->send(fetcher,
               fetch_order{id_, layer_range{0, layers}, false,
                           std::make_shared<fetch_answer>([&done](result<fetched_segment> segment) {
                             done.set_value(std::move(segment));
                           })});
    outcome seen;
    bool joined = tls;
    while (answered.wait_for(std::chrono::milliseconds{2}) != std::future_status::ready) {
      const std::uint64_t now = status_bytes("RssAnon:");
      seen.memory = std::max(seen.memory, now - std::min(now, before));
      // Both ends of the plain connection are there once the fetcher asked for one.
      if (!joined && dynamic_cast<bench::plain_end&>(at_asker).wanted()) {
        joined = true;
        dynamic_cast<bench::plain_end&>(at_source).start();
        dynamic_cast<bench::plain_end&>(at_asker).start();
      }
    }
    seen.seconds = std::chrono::duration<double>(clock::now() - start).count();
    if (const auto segment = answered.get(); !segment) {
      throw std::runtime_error(segment.error().message);
    }
    self->request(fetcher, std::chrono::seconds{5}, list_fetches{})
        .receive([&](const fetch_list& list) { seen.fetched = list.fetches.back(); },
                 [](const caf::error&) {});
    self->send_exit(fetcher, caf::exit_reason::user_shutdown);
    self->send_exit(at_from.source, caf::exit_reason::user_shutdown);
    from_.links.forget_actors();
    to_.links.forget_actors();
    return seen;
  }

  storage::env& env_;
  side from_;
  side to_;
  digest id_;
  model_catalog has_;
  model_catalog empty_;
};

/// Plain BLAKE3 of pieces of 1 MiB, as they are verified; bytes per second.
double hashing() {
  const std::vector<std::byte> piece(compute::manifest_chunk_bytes, std::byte{5});
  double best = 0;
  for (int round = 0; round < 5; ++round) {
    const auto start = clock::now();
    constexpr int pieces = 512;
    std::uint8_t sum = 0;
    for (int i = 0; i < pieces; ++i) {
      sum = static_cast<std::uint8_t>(sum ^ hash_plain(piece).bytes[0]);
    }
    const double seconds = std::chrono::duration<double>(clock::now() - start).count();
    best = std::max(best, pieces * static_cast<double>(piece.size()) / seconds + sum * 0.0);
  }
  return best;
}

void measure(const std::string& path, const std::string& folder, int rounds, std::uint64_t window) {
  const auto env = storage::make_env_posix();
  auto model = std::make_shared<catalog_model>();
  model->file = need(env->map(path));
  model->metadata = need(compute::gguf::parse(model->file->bytes()));
  model->manifest =
      std::make_shared<const compute::model_manifest>(need(compute::manifest_of(model->metadata)));
  model->id = compute::name_of(*model->manifest);
  const std::uint32_t layers = need(compute::piece_list::of(model->manifest)).layers();
  fmt::print("BLAKE3 of pieces, one thread: {:.2f} GB/s\n", hashing() / 1e9);
  for (const bool tls : {false, true}) {
    double best = 0;
    for (int round = 0; round < rounds; ++round) {
      const std::string state = folder + "/fetched";
      std::filesystem::remove_all(state);
      round_trip trip{*env, model};
      const outcome seen = trip.run(tls, state, window, layers);
      const auto bytes = static_cast<double>(seen.fetched.count.verified_bytes);
      // Contacting takes a tick; it is no part of a rate.
      const double speed = bytes / seen.seconds / mb;
      best = std::max(best, speed);
      fmt::print("TLS {}: {:.0f} MB in {:.2f} s, {:.0f} MB/s; at most {:.1f} MiB in flight, memory "
                 "grew by {:.1f} MiB (both ends)\n",
                 tls ? "on" : "off", bytes / mb, seen.seconds, speed,
                 static_cast<double>(seen.fetched.count.in_flight_max) / (1U << 20U),
                 static_cast<double>(seen.memory) / (1U << 20U));
      std::filesystem::remove_all(state);
    }
    fmt::print("TLS {}: best of {}: {:.0f} MB/s\n", tls ? "on" : "off", rounds, best);
  }
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"How fast weights are fetched over loopback"};
  std::string model;
  std::string folder;
  int rounds = 3;
  std::uint64_t window = limits::fetch_window_bytes_max >> 20U;
  app.add_option("-m,--model", model, "GGUF file")->required();
  app.add_option("-d,--folder", folder, "Where the fetched model goes, for as long")->required();
  app.add_option("-r,--rounds", rounds, "Of each kind")->check(CLI::Range(1, 100));
  app.add_option("-w,--window-mib", window, "Asked for and not here")->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  try {
    measure(model, folder, rounds, window << 20U);
  } catch (const std::exception& problem) {
    fmt::print(stderr, "fetch_bench: {}\n", problem.what());
    return 1;
  }
  return 0;
}
