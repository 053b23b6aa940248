#include "verify/proofs/sum_check.hpp"

#include "messages/check.hpp"

#include <array>

namespace ovir::proofs {

namespace {

/// States a round; what comes back is what its variable is set to.
element close_round(const round_message& round, transcript& script) {
  script.absorb("round", std::array{round.at_0, round.square});
  return script.challenge("column");
}

void halve(std::vector<element>& table, element at) {
  const std::size_t half = table.size() / 2;
  for (std::size_t i = 0; i < half; ++i) {
    table[i] = table[i] + (table[half + i] - table[i]) * at;
  }
  table.resize(half);
}

} // namespace

element evaluate(const round_message& round, element claim, element at) noexcept {
  const element slope = claim - round.at_0 - round.at_0 - round.square;
  return round.at_0 + (slope + round.square * at) * at;
}

round_message open_round(std::span<const table_pair> pairs) {
  round_message round{zero, zero};
  for (const table_pair& pair : pairs) {
    const std::size_t half = pair.x.size() / 2;
    OVIR_CHECK(half > 0 && pair.w.size() == 2 * half, pair.x.size(), pair.w.size());
    for (std::size_t i = 0; i < half; ++i) {
      round.at_0 = round.at_0 + pair.x[i] * pair.w[i];
      round.square = round.square + (pair.x[half + i] - pair.x[i]) * (pair.w[half + i] - pair.w[i]);
    }
  }
  return round;
}

void bind(std::span<table_pair> pairs, element at) {
  for (table_pair& pair : pairs) {
    halve(pair.x, at);
    halve(pair.w, at);
  }
}

sum_check_result prove_sum(std::vector<table_pair>& pairs, transcript& script) {
  sum_check_result result;
  while (pairs.front().x.size() > 1) {
    result.rounds.push_back(open_round(pairs));
    const element at = close_round(result.rounds.back(), script);
    result.point.insert(result.point.begin(), at);
    bind(pairs, at);
  }
  return result;
}

sum_claim follow_sum(std::span<const round_message> rounds, element claim, transcript& script) {
  sum_claim left{{}, claim};
  for (const round_message& round : rounds) {
    const element at = close_round(round, script);
    left.point.insert(left.point.begin(), at);
    left.value = evaluate(round, left.value, at);
  }
  return left;
}

} // namespace ovir::proofs
