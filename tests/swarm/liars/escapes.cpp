#include "tests/swarm/liars/escapes.hpp"

#include <algorithm>
#include <array>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t nodes = 7;
constexpr std::size_t requests = 24;
constexpr std::size_t early = 8;
constexpr std::size_t faults = 4;
constexpr nanoseconds standing_until = 7s;
constexpr nanoseconds faults_from = 9s;
constexpr nanoseconds length = 20s;
// The liar is 3, the keeper the last one. A lie takes two honest verifiers to convict.
constexpr std::array<std::size_t, 3> honest_verifiers{0, 2, 1};
constexpr std::array<std::size_t, 2> colluders{4, 5};
constexpr std::size_t honest_least = 2;

/// A third at first, all over that time: a verifier's chain counts from the third epoch with work.
nanoseconds when(chance& draws, std::size_t number) {
  if (number < early) {
    const nanoseconds from = 500ms + (standing_until - 500ms) / early * number;
    return from + draws.between(nanoseconds{0}, 500ms);
  }
  return draws.between(lies_begin - 500ms, lies_end);
}

} // namespace

intensity escapes_intensity() {
  intensity how;
  how.escapes = true;
  how.liars = 1;
  how.nodes = nodes;
  how.requests = requests;
  how.faults = faults;
  how.length = length;
  how.reuse = false; // all is paid for
  return how;
}

plan draw_escapes_plan(std::uint64_t seed, const intensity& how) {
  plan p;
  p.seed = seed;
  p.how = how;
  p.how.free = how.free || seed % 4 == 3;
  chance draws = chance{seed}.split(0xe5ca);
  for (std::size_t i = 0; i < how.faults + how.lost_disks; ++i) {
    fault f = draw_fault(draws, how);
    f.at = draws.between(faults_from, how.length);
    if (i >= how.faults) {
      f.what = fault_kind::lose_disk;
      f.who = draws.below(how.nodes - 1); // a ledger has one keeper
      f.amount = 0;
    }
    p.faults.push_back(f);
  }
  std::sort(p.faults.begin(), p.faults.end(),
            [](const fault& a, const fault& b) { return a.at < b.at; });
  chance wants = chance{seed}.split(0xe5cb);
  for (std::size_t i = 0; i < how.requests; ++i) {
    ask a;
    a.at = when(wants, i);
    a.client = i;
    a.gateway = wants.below(2);
    a.wanted = draw_wanted(wants);
    a.stream = !wants.one_in(5);
    a.hang_up_after =
        a.stream && wants.one_in(10) ? 1 + static_cast<std::uint32_t>(wants.below(8)) : 0;
    p.asks.push_back(std::move(a));
  }
  return p;
}

std::uint64_t lies_of(std::uint64_t seed) {
  return chance{seed}.split(0x11e5).between(1, lies_most);
}

std::set<std::size_t> verifiers_among(const intensity& how) {
  std::set<std::size_t> all = colluders_among(how);
  const auto honest = std::max(how.colluders + 1, honest_least);
  all.insert(honest_verifiers.begin(),
             honest_verifiers.begin() + static_cast<std::ptrdiff_t>(honest));
  return all;
}

std::set<std::size_t> colluders_among(const intensity& how) {
  return {colluders.begin(), colluders.begin() + static_cast<std::ptrdiff_t>(how.colluders)};
}

} // namespace ovir::swarm
