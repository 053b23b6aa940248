#pragma once

#include "actors/link/network.hpp"

#include <deque>
#include <map>
#include <optional>

namespace ovir::actors {

/// Commands of shells that arrived and are not answered yet: of one connection in their order, of
/// all connections in turn about as many bytes, so that neither a flood nor a huge command of one
/// holds up another by more than one command. Bounded by the receive budgets of the connections,
/// which count what waits here. (Deficit round robin, Shreedhar and Varghese 1995.)
class command_turns {
public:
  struct command {
    peer_info peer;
    received_bytes bytes;
  };

  void add(command next);
  /// The command whose turn it is; none when none waits.
  [[nodiscard]] std::optional<command> take();
  /// Drops what waits of a connection that ended.
  void forget(connection_id connection);

private:
  struct queue {
    std::deque<command> commands; ///< never empty
    std::size_t credit{0};        ///< bytes that it may have answered now
  };

  std::map<connection_id, queue> waiting_;
  std::deque<connection_id> turns_; ///< each of `waiting_` once
};

} // namespace ovir::actors
