#include "actors/stage/kill_plan.hpp"

#include "messages/check.hpp"

#include <algorithm>
#include <functional>

namespace ovir::actors {

namespace {

/// Events between the begin of a token and a kill: enough to reach every stage of a short path.
constexpr std::uint64_t countdown_max = 8;

} // namespace

kill_plan::kill_plan(std::uint32_t kills, std::uint64_t seed, std::size_t tokens) : state_(seed) {
  for (std::uint32_t i = 0; i < kills && tokens > 0; ++i) {
    points_.push_back(next() % tokens);
  }
  std::sort(points_.begin(), points_.end(), std::greater<>{});
  countdown_ = static_cast<std::uint32_t>(next() % countdown_max);
}

bool kill_plan::due(std::size_t token, bool hurry) {
  if (!pending(token)) {
    return false;
  }
  if (countdown_ > 0 && !hurry) {
    --countdown_;
    return false;
  }
  points_.pop_back();
  countdown_ = static_cast<std::uint32_t>(next() % countdown_max);
  return true;
}

bool kill_plan::pending(std::size_t token) const noexcept {
  return !points_.empty() && points_.back() <= token;
}

std::uint32_t kill_plan::choose(std::uint32_t bound) {
  OVIR_CHECK(bound > 0);
  return static_cast<std::uint32_t>(next() % bound);
}

std::uint64_t kill_plan::next() {
  state_ += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state_;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

} // namespace ovir::actors
