#pragma once

#include "actors/group/group_links.hpp"
#include "messages/result.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace ovir::test {

/// What every member's thread sends and waits for. Its clock stands still until all of them wait
/// and nothing is under way: then it is the time that the first of them waits for.
class memory_network {
public:
  using time_point = actors::group_links::time_point;
  using bytes = actors::group_links::bytes;
  /// Changes what `from` sends to `to`: none, one or several messages.
  using meddler = std::function<std::vector<bytes>(std::uint32_t from, std::uint32_t to, bytes)>;

  explicit memory_network(std::size_t members) : seats_(members), alive_(members) {}

  void meddle(meddler m) {
    const std::lock_guard lock{guard_};
    meddler_ = std::move(m);
  }
  void send(std::uint32_t from, std::uint32_t to, const bytes& message) {
    const std::lock_guard lock{guard_};
    const auto sent = meddler_ ? meddler_(from, to, message) : std::vector{message};
    for (const bytes& one : sent) {
      seats_[to].inbox.push_back({from, one});
    }
    changed_.notify_all();
  }
  result<std::optional<actors::group_links::letter>> receive(std::uint32_t self, time_point until) {
    std::unique_lock lock{guard_};
    seat& mine = seats_[self];
    mine.until = until;
    mine.waits = true;
    for (;;) {
      if (!mine.inbox.empty()) {
        mine.waits = false;
        auto letter = std::move(mine.inbox.front());
        mine.inbox.pop_front();
        return std::optional{std::move(letter)};
      }
      if (!gone_.empty()) {
        mine.waits = false;
        return fail(errc::peer_lost, "member {} is gone", gone_.front());
      }
      if (now_ >= until) {
        mine.waits = false;
        return std::optional<actors::group_links::letter>{};
      }
      pass_time();
      if (now_ < until) { // also after time passed for another one, who needs the lock
        changed_.wait(lock);
      }
    }
  }
  void leave(std::uint32_t self, bool seen) {
    const std::lock_guard lock{guard_};
    --alive_;
    seats_[self].left = true;
    if (seen) {
      gone_.push_back(self);
    }
    changed_.notify_all();
  }
  time_point now() {
    const std::lock_guard lock{guard_};
    return now_;
  }

private:
  struct seat {
    std::deque<actors::group_links::letter> inbox;
    time_point until{};
    bool waits{false};
    bool left{false};
  };

  // The clock goes on when nothing else can happen.
  void pass_time() {
    std::size_t waiting = 0;
    auto first = time_point::max();
    for (const seat& s : seats_) {
      if (s.waits && s.inbox.empty() && !s.left) {
        ++waiting;
        first = std::min(first, s.until);
      }
    }
    if (waiting >= alive_ && first > now_) {
      now_ = first;
      changed_.notify_all();
    }
  }

  std::mutex guard_;
  std::condition_variable changed_;
  std::vector<seat> seats_;
  std::size_t alive_;
  std::vector<std::uint32_t> gone_; ///< as the others see it, the first of them first
  time_point now_{};
  meddler meddler_{};
};

class memory_links final : public actors::group_links {
public:
  memory_links(memory_network& network, std::uint32_t self) : network_(network), self_(self) {}
  void send(std::uint32_t member, bytes message) override { network_.send(self_, member, message); }
  result<std::optional<letter>> receive(time_point until) override {
    return network_.receive(self_, until);
  }
  [[nodiscard]] time_point now() const override { return network_.now(); }

private:
  memory_network& network_;
  std::uint32_t self_;
};

} // namespace ovir::test
