#include "actors/operator/command_turns.hpp"

#include "messages/limits/shells.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

void command_turns::add(command next) {
  const connection_id from = next.peer.connection;
  queue& own = waiting_[from];
  if (own.commands.empty()) {
    turns_.push_back(from);
  }
  own.commands.push_back(std::move(next));
}

std::optional<command_turns::command> command_turns::take() {
  while (!turns_.empty()) {
    const connection_id whose = turns_.front();
    turns_.pop_front();
    const auto found = waiting_.find(whose);
    queue& own = found->second;
    own.credit += limits::admin_turn_bytes;
    const std::size_t size = own.commands.front().bytes->size();
    if (size > own.credit) {
      turns_.push_back(whose); // it saves for a large one
      continue;
    }
    command next = std::move(own.commands.front());
    own.commands.pop_front();
    own.credit = 0; // one command is a turn
    if (own.commands.empty()) {
      waiting_.erase(found);
    } else {
      turns_.push_back(whose);
    }
    return next;
  }
  return std::nullopt;
}

void command_turns::forget(connection_id connection) {
  if (waiting_.erase(connection) > 0) {
    turns_.erase(std::find(turns_.begin(), turns_.end(), connection));
  }
}

} // namespace ovir::actors
