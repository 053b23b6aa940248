#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace ovir::swarm {

/// Draws of one seed (splitmix64). Streams made by `split` are independent of how much is drawn
/// from one another, so that a new draw in one place moves nothing elsewhere.
class chance {
public:
  explicit chance(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    state_ += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  }
  /// 0 .. n - 1; n > 0.
  std::uint64_t below(std::uint64_t n) { return next() % n; }
  /// first .. last, both included.
  std::uint64_t between(std::uint64_t first, std::uint64_t last) {
    return first + below(last - first + 1);
  }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  /// first .. last.
  std::chrono::nanoseconds between(std::chrono::nanoseconds first, std::chrono::nanoseconds last) {
    return std::chrono::nanoseconds{between(static_cast<std::uint64_t>(first.count()),
                                            static_cast<std::uint64_t>(last.count()))};
  }
  void fill(std::span<std::byte> out) {
    for (std::byte& b : out) {
      b = static_cast<std::byte>(next());
    }
  }
  [[nodiscard]] chance split(std::uint64_t label) const {
    chance mixed{state_ ^ (label * 0xd1342543de82ef95U)};
    mixed.next();
    return chance{mixed.next()};
  }

private:
  std::uint64_t state_;
};

} // namespace ovir::swarm
