#pragma once

#include "tests/swarm/chance.hpp"
#include "tests/swarm/event_queue.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

namespace ovir::swarm {

/// A violation that is planted to see whether the witness finds it.
enum class plant : std::uint8_t {
  none,
  token_twice, ///< doors send an event twice
  deaf_cancel, ///< doors confirm a cancellation and keep it to themselves
  lying_sync,  ///< disks say that they synced, and the keeper's power goes
};

/// What every part of a swarm shares: the time of the world, what happens when, the draws of the
/// seed, and the digest of all that happened.
class world {
public:
  explicit world(std::uint64_t seed) : draws_(seed) {}
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  [[nodiscard]] nanoseconds now() const noexcept { return now_; }
  void in(nanoseconds delay, std::function<void()> act) { queue_.at(now_ + delay, std::move(act)); }
  void at(nanoseconds when, std::function<void()> act) { queue_.at(when, std::move(act)); }
  [[nodiscard]] bool has_events() const { return !queue_.empty(); }
  [[nodiscard]] nanoseconds next_time() const { return queue_.next_time(); }
  /// Goes to the next event and does it.
  void step() {
    now_ = std::max(now_, queue_.next_time());
    queue_.take()();
  }

  /// Time goes on by what an actor's turn takes.
  void pass(nanoseconds time) { now_ += time; }

  [[nodiscard]] chance& draws() noexcept { return draws_; }

  /// Adds something that happened to the digest.
  void note(std::uint64_t what, std::uint64_t who, std::uint64_t detail = 0) {
    // FNV-1a over words: it tells runs apart, it proves nothing.
    for (const std::uint64_t word : {static_cast<std::uint64_t>(now_.count()), what, who, detail}) {
      trace_ = (trace_ ^ word) * 0x100000001b3U;
      trace_ ^= trace_ >> 29U;
    }
    ++notes_;
  }
  [[nodiscard]] std::uint64_t trace() const noexcept { return trace_; }
  [[nodiscard]] std::uint64_t notes() const noexcept { return notes_; }

  plant planted{plant::none};

private:
  nanoseconds now_{0};
  event_queue queue_;
  chance draws_;
  std::uint64_t trace_{0xcbf29ce484222325U};
  std::uint64_t notes_{0};
};

} // namespace ovir::swarm
