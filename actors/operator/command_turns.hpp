#pragma once

#include "actors/link/network.hpp"

#include <deque>
#include <map>
#include <optional>

namespace ovir::actors {

/// Commands of shells that arrived and are not answered yet. Those of one connection keep their
/// order; the connections take turns of one command each. A command of more than
/// limits::admin_turn_bytes lets one turn pass for each so many bytes, as in deficit round robin
/// (Shreedhar and Varghese 1995), so that small commands of other connections are not held up by
/// it. Bounded by the receive budgets of the connections, which count what waits here.
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
    std::size_t credit{0};        ///< bytes of the turns that it has let pass
  };

  std::map<connection_id, queue> waiting_;
  std::deque<connection_id> turns_; ///< each of `waiting_` once
};

} // namespace ovir::actors
