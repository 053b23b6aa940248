#pragma once

#include "actors/reuse/answer_record.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace ovir::test {

inline digest numbered_digest(std::uint32_t n) {
  return hasher{"ovir/test/answer"}.update_u32(n).finish();
}

/// The prompt of `finished_answer`.
inline std::vector<token_id> answered_prompt() {
  std::vector<token_id> ids(40);
  std::iota(ids.begin(), ids.end(), 50U);
  return ids;
}

/// A whole answer of `count` tokens to it, over a model of three layers, whose root is right.
inline actors::answer_record finished_answer(std::uint32_t count) {
  actors::answer_record r;
  r.finished = true;
  r.key = numbered_digest(0);
  r.hashed_layers = 2;
  std::vector<token_id> ids = answered_prompt();
  compute::transcript all;
  for (std::uint32_t i = 0; i < count; ++i) {
    r.drawn.push_back({60 + i % 100, numbered_digest(1'000 + i)});
    static_cast<void>(all.add_logits(static_cast<position>(ids.size() - 1), r.drawn[i].logits));
    ids.push_back(r.drawn[i].token);
  }
  r.positions = static_cast<std::uint32_t>(ids.size() - 1);
  const std::uint32_t windows = (r.positions + 31) / 32;
  for (std::uint32_t i = 0; i < windows * r.hashed_layers; ++i) {
    r.leaves.push_back(numbered_digest(100 + i));
  }
  for (const compute::unit_leaf& leaf : leaves_of(r)) {
    static_cast<void>(all.add_unit(leaf));
  }
  r.transcript = all.root(r.hashed_layers, r.positions, ids).value();
  return r;
}

/// A window of draws.
inline actors::answer_record drawn_window() {
  actors::answer_record r;
  r.key = numbered_digest(1);
  for (std::uint32_t i = 0; i < limits::window_positions; ++i) {
    r.drawn.push_back({70 + i, numbered_digest(2'000 + i)});
  }
  return r;
}

} // namespace ovir::test
