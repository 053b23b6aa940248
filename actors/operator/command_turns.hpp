#pragma once

#include "actors/link/network.hpp"

#include <deque>
#include <map>
#include <optional>

namespace ovir::actors {

/// Commands of shells that arrived and are not answered yet: of one connection in their order, of
/// all connections one each in turn, so that a flood of one costs another a command of each and no
/// more. Bounded by the receive budgets of the connections, which count what waits here.
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
  std::map<connection_id, std::deque<command>> waiting_; ///< none is empty
  std::deque<connection_id> turns_;                      ///< each of `waiting_` once
};

} // namespace ovir::actors
