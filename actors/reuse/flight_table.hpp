#pragma once

#include "messages/digest.hpp"
#include "messages/ids.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <vector>

namespace ovir::actors {

/// Single flight of prefixes: of requests that share a prefix which is not there yet, one computes
/// it and the others wait until it has. A pure value; time comes from the caller.
///
/// A request that goes claims its windows until it has computed them; those that another one that
/// still flies has computed need no claim. Those that wait claim nothing, so no two can wait for
/// one another.
class flight_table {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// A request with the digests of its windows, of which it wants the first `wanted` from others.
  /// True: it may go. False: it waits, and is among those a later call lets go.
  [[nodiscard]] bool enter(request_id request, std::vector<digest> windows, std::size_t wanted,
                           time_point now);
  /// It holds its first `windows` windows now, and so may everybody. Returns who may go.
  [[nodiscard]] std::vector<request_id> computed(request_id request, std::size_t windows,
                                                 time_point now);
  /// It ended, however far it was. Returns who may go.
  [[nodiscard]] std::vector<request_id> left(request_id request, time_point now);
  /// Those that made no progress for `patience` are not waited for any more. Returns who may go.
  [[nodiscard]] std::vector<request_id> tick(time_point now, std::chrono::nanoseconds patience);

  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }
  [[nodiscard]] std::size_t flying() const noexcept { return flights_.size(); }
  /// Since the start: requests that waited, and waits that were given up.
  [[nodiscard]] std::uint64_t waited() const noexcept { return waited_; }
  [[nodiscard]] std::uint64_t given_up() const noexcept { return given_up_; }

private:
  struct flight {
    std::vector<digest> windows;
    std::size_t computed{0};
    std::size_t released{0}; ///< the first so many are not claimed any more
    time_point moved;
  };
  struct waiter {
    request_id request;
    std::vector<digest> windows;
    std::size_t wanted{0};
  };

  [[nodiscard]] bool free(const std::vector<digest>& windows, std::size_t wanted) const;
  void take_off(request_id request, std::vector<digest> windows, time_point now);
  void release(request_id request, flight& of, std::size_t windows);
  void forget(const flight& of);
  [[nodiscard]] std::vector<request_id> let_go(time_point now);

  std::map<digest, request_id> claims_;
  std::map<digest, std::size_t> there_; ///< computed, and by how many flights
  std::map<request_id, flight> flights_;
  std::deque<waiter> waiting_;
  std::uint64_t waited_{0};
  std::uint64_t given_up_{0};
};

} // namespace ovir::actors
