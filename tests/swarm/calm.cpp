#include "tests/swarm/calm.hpp"

#include <algorithm>
#include <array>

namespace ovir::swarm {

namespace {

using namespace std::chrono_literals;

constexpr std::size_t requests_an_hour = 90;
constexpr std::size_t faults_an_hour = 3;
constexpr std::size_t restarts = 2; ///< of every node
/// Prompts begin like others, and some are asked again.
constexpr std::uint64_t openings = 60;
constexpr std::uint64_t asked_again = 200;

void add_tokens(std::vector<token_id>& to, chance& draws, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    to.push_back(static_cast<token_id>(draws.between(0, tiny_model::vocabulary - 5)));
  }
}

/// For money a short one; to the gateway that serves without, a long one, of which much is kept.
wanted_answer draw_wanted(chance& draws, bool long_one) {
  const bool again = draws.one_in(4);
  chance c{again ? draws.below(asked_again) + 1 : draws.next() | (std::uint64_t{1} << 63U)};
  wanted_answer w;
  if (long_one && c.one_in(2)) {
    chance opening{openings + c.below(openings)};
    add_tokens(w.prompt, opening, 64);
  }
  add_tokens(w.prompt, c, long_one ? c.between(32, 140) : c.between(1, 40));
  w.max_tokens = static_cast<std::uint32_t>(c.between(1, 20));
  if (c.one_in(2)) {
    w.sampling.temperature = 0.75F;
    w.sampling.top_k = 40;
    w.sampling.seed = c.below(1'000);
  }
  return w;
}

void add_restarts(plan& to, chance& draws) {
  constexpr std::array kinds{fault_kind::crash, fault_kind::power, fault_kind::drain};
  const nanoseconds part = to.how.length / restarts;
  for (std::size_t who = 0; who < to.how.nodes; ++who) {
    for (std::size_t n = 0; n < restarts; ++n) {
      fault f;
      f.at = part * static_cast<std::int64_t>(n) + draws.between(part / 4, part * 3 / 4);
      f.what = kinds.at(draws.below(kinds.size()));
      f.who = who;
      f.other = (who + 1) % to.how.nodes;
      f.length = draws.between(nanoseconds{1s}, 20s);
      to.faults.push_back(f);
    }
  }
}

} // namespace

intensity calm_intensity(std::uint64_t hours) {
  intensity how;
  how.calm = true;
  how.length = std::chrono::hours{hours};
  how.requests = hours * requests_an_hour;
  how.faults = hours * faults_an_hour;
  return how;
}

plan draw_calm_plan(std::uint64_t seed, const intensity& how) {
  plan p;
  p.seed = seed;
  p.how = how;
  chance draws = chance{seed}.split(0xca1f);
  for (std::size_t i = 0; i < how.faults; ++i) {
    p.faults.push_back(draw_fault(draws, how));
  }
  add_restarts(p, draws);
  std::sort(p.faults.begin(), p.faults.end(),
            [](const fault& a, const fault& b) { return a.at < b.at; });
  chance wants = chance{seed}.split(0xca1a);
  for (std::size_t i = 0; i < how.requests; ++i) {
    ask a;
    a.at = wants.between(nanoseconds{1s}, how.length);
    a.client = i;
    a.gateway = wants.one_in(3) ? 0 : 1;
    a.wanted = draw_wanted(wants, a.gateway == 1);
    a.stream = !wants.one_in(5);
    a.receipt = wants.one_in(8);
    a.hang_up_after =
        a.stream && wants.one_in(50) ? 1 + static_cast<std::uint32_t>(wants.below(8)) : 0;
    a.cancel_after =
        a.stream && wants.one_in(50) ? 1 + static_cast<std::uint32_t>(wants.below(8)) : 0;
    p.asks.push_back(std::move(a));
  }
  return p;
}

} // namespace ovir::swarm
