#include "actors/operator/command_turns.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

void command_turns::add(command next) {
  const connection_id from = next.peer.connection;
  std::deque<command>& queue = waiting_[from];
  if (queue.empty()) {
    turns_.push_back(from);
  }
  queue.push_back(std::move(next));
}

std::optional<command_turns::command> command_turns::take() {
  if (turns_.empty()) {
    return std::nullopt;
  }
  const connection_id whose = turns_.front();
  turns_.pop_front();
  const auto found = waiting_.find(whose);
  command next = std::move(found->second.front());
  found->second.pop_front();
  if (found->second.empty()) {
    waiting_.erase(found);
  } else {
    turns_.push_back(whose);
  }
  return next;
}

void command_turns::forget(connection_id connection) {
  if (waiting_.erase(connection) > 0) {
    turns_.erase(std::find(turns_.begin(), turns_.end(), connection));
  }
}

} // namespace ovir::actors
