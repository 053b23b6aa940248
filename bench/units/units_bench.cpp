// Pushes supervised work units through a pool of the runtime and prints one JSON document: the rate
// and what happened. bench/compare_erlang runs it beside Erlang's; bench/README.md has the method.
#include "actors/bulk/unit_protocol_actor.hpp"
#include "messages/caf/errors.hpp"
#include "messages/caf/events.hpp"
#include "messages/caf/system_config.hpp"
#include "messages/limits/general.hpp"
#include "node/unit_pool.hpp"
#include "supervision/supervisor.hpp"

#include <caf/all.hpp>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <future>
#include <iostream>
#include <stdexcept>
#include <vector>

namespace ovir {
namespace {

using namespace std::chrono_literals;
using bench_clock = std::chrono::steady_clock;

constexpr std::size_t payload_bytes = 256;
constexpr std::size_t payloads = 1'024; // 256 KiB: more than a core's first cache holds
constexpr std::chrono::seconds ask_wait{5};
constexpr std::chrono::minutes run_wait{5};

struct options {
  std::uint64_t units{1'000'000};
  std::uint64_t warm_up{100'000};
  std::uint32_t batch{64};
  std::uint32_t workers{4};
  std::uint32_t threads{3};
  std::uint32_t window{128};
  std::uint32_t crash_percent{1};
  std::string hash{"blake3"};
};

/// Whether a unit ends its worker at the first attempt. The Erlang programs use the same formula,
/// so the same units crash.
bool crashes(std::uint64_t id, std::uint32_t percent) {
  const std::uint64_t mixed = (id * 2'654'435'761U) & 0xFFFF'FFFFU;
  return (mixed >> 7U) % 100U < percent;
}

std::uint64_t count_crashes(std::uint64_t units, std::uint32_t percent) {
  std::uint64_t count = 0;
  for (std::uint64_t id = 0; id < units; ++id) {
    count += crashes(id, percent) ? 1U : 0U;
  }
  return count;
}

using payload = std::array<std::byte, payload_bytes>;

/// The inputs, the same as the Erlang programs'.
std::vector<payload> make_payloads() {
  std::vector<payload> table(payloads);
  for (std::size_t i = 0; i < payloads; ++i) {
    for (std::size_t j = 0; j < payload_bytes; ++j) {
      table[i][j] = static_cast<std::byte>((i * 31 + j * 7 + ((i * j) >> 3U)) & 0xFFU);
    }
  }
  return table;
}

// zlib speaks of unsigned characters.
const Bytef* zlib_bytes(std::span<const std::byte> bytes) {
  return reinterpret_cast<const Bytef*>(bytes.data());
}

std::uint32_t crc_of(std::span<const std::byte> bytes) {
  return static_cast<std::uint32_t>(::crc32(0, zlib_bytes(bytes), static_cast<uInt>(bytes.size())));
}

using hash_function = digest (*)(std::span<const std::byte>);

digest checksum(std::uint32_t value) {
  digest d;
  std::memcpy(d.bytes.data(), &value, sizeof value);
  return d;
}

// The checksums that Erlang's functions of the same names take from the same library.
digest crc32_checksum(std::span<const std::byte> bytes) { return checksum(crc_of(bytes)); }
digest adler32_checksum(std::span<const std::byte> bytes) {
  return checksum(
      static_cast<std::uint32_t>(::adler32(1, zlib_bytes(bytes), static_cast<uInt>(bytes.size()))));
}

/// Hashes, and crashes as told.
class crashing_work final : public actors::unit_work {
public:
  crashing_work(hash_function hash, std::uint32_t percent) : hash_(hash), percent_(percent) {}

  [[nodiscard]] digest run(const actors::work_unit& unit, std::uint32_t attempt) const override {
    if (attempt == 1 && crashes(unit.id, percent_)) {
      throw std::runtime_error("this unit crashes at first");
    }
    return hash_(unit.input);
  }

private:
  hash_function hash_;
  std::uint32_t percent_;
};

struct inputs {
  std::vector<payload> table;
  std::vector<digest> expected;
};

/// What came back.
struct outcome {
  bench_clock::duration time{0};
  std::uint64_t batches{0};
  std::uint64_t failures{0};
  bool refused{false};
};

struct client_state {
  const char* name{"unit_client"};
  std::shared_ptr<const inputs> data;
  actors::unit_dispatcher_actor dispatcher;
  options how;
  std::uint64_t units{0};
  std::uint64_t next{0};
  std::uint64_t open{0};
  bench_clock::time_point begin;
  outcome out;
  std::shared_ptr<std::promise<outcome>> done;
};

using client_pointer = actors::unit_client_actor::stateful_pointer<client_state>;

void submit_next(client_pointer self) {
  client_state& s = self->state;
  const std::uint64_t end = std::min(s.units, s.next + s.how.batch);
  auto batch = std::make_shared<actors::unit_batch>();
  batch->units.reserve(end - s.next);
  batch->inputs = s.data;
  const std::uint64_t id = s.next;
  for (; s.next < end; ++s.next) {
    const std::size_t which = s.next % payloads;
    batch->units.push_back({s.next, s.data->table[which], s.data->expected[which]});
  }
  ++s.open;
  self->send(s.dispatcher, actors::submit_batch{actors::batch_id{id}, std::move(batch),
                                                actors::unit_client_actor{self}});
}

void finish(client_pointer self) {
  client_state& s = self->state;
  s.out.time = bench_clock::now() - s.begin;
  s.done->set_value(s.out);
  self->quit();
}

void take(client_pointer self, const actors::batch_done& done) {
  client_state& s = self->state;
  --s.open;
  ++s.out.batches;
  s.out.failures += done.failures.size();
  if (s.next < s.units) {
    submit_next(self);
  } else if (s.open == 0) {
    finish(self);
  }
}

/// Keeps `window` batches in the pool until all units are through.
actors::unit_client_actor::behavior_type
client_behavior(client_pointer self, std::shared_ptr<const inputs> data,
                actors::unit_dispatcher_actor dispatcher, const options& how, std::uint64_t units,
                std::shared_ptr<std::promise<outcome>> done) {
  make_quiet(self);
  client_state& s = self->state;
  s.data = std::move(data);
  s.dispatcher = std::move(dispatcher);
  s.how = how;
  s.units = units;
  s.done = std::move(done);
  self->monitor(s.dispatcher);
  const auto give_up = [self] {
    self->state.out.refused = true;
    finish(self);
  };
  self->set_down_handler([give_up](caf::down_msg&) { give_up(); });
  s.begin = bench_clock::now();
  for (std::uint32_t i = 0; i < how.window && s.next < s.units; ++i) {
    submit_next(self);
  }
  return {
      [self](const actors::batch_done& b) { take(self, b); },
      [give_up](const actors::batch_refused&) { give_up(); },
  };
}

inputs make_inputs(hash_function hash) {
  inputs data{make_payloads(), {}};
  for (const payload& p : data.table) {
    data.expected.push_back(hash(p));
  }
  return data;
}

/// Hears from the pool's supervisor who the dispatcher is.
caf::behavior
watcher_behavior(caf::event_based_actor* self,
                 std::shared_ptr<std::promise<actors::unit_dispatcher_actor>> started) {
  make_quiet(self);
  return {[self, started = std::move(started)](const child_event& event) {
    if (event.what == child_event::kind::started &&
        event.child == supervision::unit_dispatcher_path) {
      started->set_value(caf::actor_cast<actors::unit_dispatcher_actor>(event.handle));
      self->quit(); // once is enough
    }
  }};
}

/// A pool below a real supervisor, and what a program asks of it.
class pool {
public:
  pool(const options& how, std::shared_ptr<const actors::unit_work> work)
      : how_(how), config_(system_config::threads(how.threads)), system_(config_) {
    auto tree = supervision::unit_pool_tree({how.workers}, std::move(work));
    OVIR_CHECK(tree.has_value());
    auto started = std::make_shared<std::promise<actors::unit_dispatcher_actor>>();
    started_ = started->get_future().share();
    tree->watcher = system_.spawn(watcher_behavior, std::move(started));
    root_ = system_.spawn(supervision::supervisor_behavior, *tree);
  }
  ~pool() {
    caf::scoped_actor self{system_};
    self->send_exit(root_, caf::exit_reason::user_shutdown);
    self->wait_for(root_);
  }
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  outcome run(const std::shared_ptr<const inputs>& data, std::uint64_t units) {
    auto promise = std::make_shared<std::promise<outcome>>();
    auto future = promise->get_future();
    system_.spawn(client_behavior, data, dispatcher(), how_, units, promise);
    if (future.wait_for(run_wait) != std::future_status::ready) {
      throw std::runtime_error("the units did not get through the pool in time");
    }
    return future.get();
  }

  /// The restarts so far. A supervisor may hear of a worker's end after the rest of its batch was
  /// done elsewhere, so this asks until it knows of `expected` ones, or for `ask_wait`.
  std::uint64_t settled_restarts(std::uint64_t expected) {
    const auto deadline = bench_clock::now() + ask_wait;
    std::uint64_t known = restarts();
    while (known < expected && bench_clock::now() < deadline) {
      known = restarts();
    }
    return known;
  }

private:
  /// Of all workers, as their supervisor counts them.
  std::uint64_t restarts() {
    caf::scoped_actor self{system_};
    std::uint64_t total = 0;
    self->request(root_, ask_wait, supervision::describe_tree{})
        .receive(
            [&total](const supervision::tree_node& node) {
              for (const auto& worker : node.children.at(1).children) {
                total += worker.restarts;
              }
            },
            [](const caf::error& e) { throw std::runtime_error(from_caf(e).message); });
    return total;
  }

  actors::unit_dispatcher_actor dispatcher() {
    if (started_.wait_for(ask_wait) != std::future_status::ready) {
      throw std::runtime_error("the pool did not start in time");
    }
    return started_.get();
  }

  options how_;
  system_config config_;
  caf::actor_system system_;
  caf::actor root_;
  std::shared_future<actors::unit_dispatcher_actor> started_;
};

hash_function hash_named(const std::string& name) {
  if (name == "crc32") {
    return crc32_checksum;
  }
  return name == "adler32" ? adler32_checksum : hash_plain;
}

int measure(const options& how) {
  const hash_function hash = hash_named(how.hash);
  const auto data = std::make_shared<const inputs>(make_inputs(hash));
  const std::uint64_t expected_crashes = count_crashes(how.units, how.crash_percent);
  const std::uint64_t early_crashes = count_crashes(how.warm_up, how.crash_percent);
  pool units_pool{how, std::make_shared<crashing_work>(hash, how.crash_percent)};
  (void)units_pool.run(data, how.warm_up);
  const outcome out = units_pool.run(data, how.units);
  const std::uint64_t restarts =
      units_pool.settled_restarts(early_crashes + expected_crashes) - early_crashes;
  const double seconds = std::chrono::duration<double>(out.time).count();
  const bool ok = !out.refused && out.failures == 0 && restarts == expected_crashes;
  const nlohmann::json report{
      {"side", "ovir"},
      {"hash", how.hash},
      {"units", how.units},
      {"batch", how.batch},
      {"workers", how.workers},
      {"seconds", seconds},
      {"units_per_second", static_cast<double>(how.units) / seconds},
      {"crashes", expected_crashes},
      {"restarts", restarts},
      {"failures", out.failures},
      {"inputs_crc32", crc_of(std::as_bytes(std::span{data->table}))},
      {"ok", ok},
  };
  std::cout << report.dump() << '\n';
  return ok ? 0 : 1;
}

} // namespace
} // namespace ovir

int main(int argc, char** argv) {
  ovir::options how;
  CLI::App app{"Rate of supervised work units: 256 bytes hashed and checked each"};
  app.add_option("--units", how.units, "units in the measured run")
      ->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--warm-up", how.warm_up, "units before it")->check(CLI::Range(1, 1'000'000'000));
  app.add_option("--batch", how.batch, "units of a batch")
      ->check(CLI::Range(1U, ovir::limits::unit_batch_max));
  app.add_option("--workers", how.workers, "supervised workers")
      ->check(CLI::Range(1U, ovir::limits::unit_workers_max));
  app.add_option("--threads", how.threads, "threads that run actors")->check(CLI::Range(1, 256));
  app.add_option("--window", how.window, "batches in the pool at once")
      ->check(CLI::Range(1U, ovir::limits::unit_batches_max));
  app.add_option("--crash-percent", how.crash_percent, "of the units end their worker once")
      ->check(CLI::Range(0, 100));
  app.add_option("--hash", how.hash, "what a unit computes")
      ->check(CLI::IsMember({"blake3", "crc32", "adler32"}));
  CLI11_PARSE(app, argc, argv);
  try {
    return ovir::measure(how);
  } catch (const std::exception& e) {
    std::cerr << "ovir_units_bench: " << e.what() << '\n';
    return 4;
  }
}
