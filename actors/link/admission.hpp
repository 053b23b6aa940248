#pragma once

#include "messages/ids.hpp"
#include "messages/limits/general.hpp"

#include <cstddef>
#include <deque>
#include <optional>
#include <set>

namespace ovir::actors {

/// Which requests run, which wait and which are turned away. A value; owned by the scheduler.
class admission {
public:
  enum class answer : std::uint8_t { start, wait, busy };

  explicit admission(std::size_t active_max = limits::requests_active_max,
                     std::size_t waiting_max = limits::requests_waiting_max);

  /// Precondition: `id` is neither active nor waiting.
  [[nodiscard]] answer submit(request_id id);
  /// An active request ended; the one that may start instead.
  [[nodiscard]] std::optional<request_id> done(request_id id);
  /// Takes a waiting request out. False when it does not wait.
  bool withdraw(request_id id);

  [[nodiscard]] std::size_t active() const noexcept { return active_.size(); }
  [[nodiscard]] std::size_t waiting() const noexcept { return waiting_.size(); }

private:
  std::size_t active_max_;
  std::size_t waiting_max_;
  std::set<request_id> active_;
  std::deque<request_id> waiting_;
};

} // namespace ovir::actors
