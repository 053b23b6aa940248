#include "tests/support/planning/holder_swarm.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <ctime>

// The time of a plan among members that hold parts of one model: the holders out of the index, the
// cut, the search. Each round plans in another swarm, and one member changed since the last plan.
// Times are the thread's own processor time, so that other programs do not count.

namespace {

using namespace ovir;
using namespace ovir::actors;

constexpr std::size_t swarms = 20;

struct swarm {
  swarm(std::uint64_t seed, std::size_t members, std::uint32_t layers)
      : maker(seed, layers), known(maker.make_some(members)) {
    follow();
    (void)test::holder_swarm::candidates(index, maker.wanted()); // it knows the model from now on
  }
  void follow() { (void)index.update(std::make_shared<const std::vector<member>>(known)); }

  test::holder_swarm maker;
  std::vector<member> known;
  holder_index index;
};

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

void plans(benchmark::State& state) {
  const auto members = static_cast<std::size_t>(state.range(0));
  const auto layers = static_cast<std::uint32_t>(state.range(1));
  std::vector<swarm> all;
  for (std::size_t i = 0; i < swarms; ++i) {
    all.emplace_back(i, members, layers);
  }
  std::vector<double> seconds;
  std::uint64_t states = 0;
  std::size_t stages = 0;
  std::size_t found = 0;
  for (auto _ : state) {
    swarm& s = all[seconds.size() % swarms];
    member& one = s.known[seconds.size() * 7 % members];
    one.advert.sessions = (one.advert.sessions + 1) % 8;
    s.follow();
    const double begun = processor_seconds();
    const auto path =
        choose_path(s.maker.wanted(), test::holder_swarm::candidates(s.index, s.maker.wanted()));
    seconds.push_back(processor_seconds() - begun);
    state.SetIterationTime(seconds.back());
    if (path) {
      ++found;
      states += path->planned.states;
      stages += path->planned.stages.size();
    }
  }
  std::sort(seconds.begin(), seconds.end());
  state.counters["p50_ms"] = 1e3 * seconds[seconds.size() / 2];
  state.counters["max_ms"] = 1e3 * seconds.back();
  state.counters["p99_ms"] = 1e3 * seconds[seconds.size() * 99 / 100];
  state.counters["found"] = static_cast<double>(found) / static_cast<double>(seconds.size());
  state.counters["stages"] = static_cast<double>(stages) / static_cast<double>(found);
  state.counters["tried"] = static_cast<double>(states) / static_cast<double>(found);
}

void follows(benchmark::State& state) {
  swarm s{1, static_cast<std::size_t>(state.range(0)), 80};
  const auto before = std::make_shared<const std::vector<member>>(s.known);
  s.known[s.known.size() / 2].advert.held.pop_back();
  const auto after = std::make_shared<const std::vector<member>>(s.known);
  bool changed = false;
  for (auto _ : state) {
    changed = !changed;
    benchmark::DoNotOptimize(s.index.update(changed ? after : before));
  }
}

} // namespace

BENCHMARK(plans)
    ->ArgNames({"members", "layers"})
    ->ArgsProduct({{64, 500, 2'000}, {32, 80}})
    ->Iterations(500)
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(follows)->ArgName("members")->Arg(64)->Arg(500)->Arg(2'000)->Unit(
    benchmark::kMicrosecond);

BENCHMARK_MAIN();
