#pragma once

#include "actors/link/network.hpp"
#include "actors/shared/door.hpp"
#include "actors/shared/region.hpp"
#include "messages/digest.hpp"

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <vector>

namespace ovir::actors {

/// Agrees with other processes which memory is for which connection: the side that opened the
/// connection makes the memory and shows it at the other one's door. Where that does not succeed
/// nothing is lost: the connection goes on as it is. One thread; nothing waits here.
class greeter {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// Both sides agree: messages may go through this memory.
  struct meeting {
    connection_id connection;
    file_handle socket;
    shared_region region;
    bool opener{false};
  };

  /// Without a door no one can greet this process.
  explicit greeter(file_handle door) : door_(std::move(door)) {}

  /// A connection that the other side opened may be greeted for.
  void expect(connection_id connection, const digest& pass);
  /// Greets at `name` for a connection that this side opened.
  void greet(connection_id connection, const digest& pass, const std::string& name, time_point now);
  /// The connection has ended, or has its memory.
  void forget(connection_id connection);

  /// Goes on as far as packets came. `room`: meetings that others may begin; more are sent away.
  [[nodiscard]] std::vector<meeting> turn(time_point now, std::size_t room);
  /// What to poll for input.
  void add_sockets(std::vector<int>& out) const;
  /// Whether a deadline runs.
  [[nodiscard]] bool watched() const noexcept { return !greeted_.empty() || !came_.empty(); }

private:
  /// Where this side greeted.
  struct greeted {
    connection_id connection;
    digest pass;
    file_handle socket;
    shared_region region;
    time_point until;
  };
  /// Who came to the door, and what it showed.
  struct visitor {
    file_handle socket;
    time_point until;
    std::optional<digest> pass{};
    std::optional<shared_region> region{};
  };

  void open_door(time_point now);
  [[nodiscard]] bool is_answered(greeted& g, std::vector<meeting>& out) const;
  [[nodiscard]] bool is_done(visitor& v, std::size_t room, std::vector<meeting>& out);

  file_handle door_;
  std::map<digest, connection_id> expected_;
  std::deque<greeted> greeted_;
  std::deque<visitor> came_; ///< the oldest first
};

} // namespace ovir::actors
