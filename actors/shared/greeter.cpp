#include "actors/shared/greeter.hpp"

#include "actors/shared/greeting.hpp"
#include "messages/limits/shared.hpp"

#include <iterator>
#include <utility>

namespace ovir::actors {

void greeter::expect(connection_id connection, const digest& pass) {
  if (door_) {
    expected_.emplace(pass, connection);
  }
}

void greeter::greet(connection_id connection, const digest& pass, const std::string& name,
                    time_point now) {
  auto socket = knock(name);
  auto region = socket ? shared_region::make() : result<shared_region>{socket.error()};
  if (!region) {
    return;
  }
  const std::vector<std::byte> words = encode_greeting({shared_region::size_bytes, pass});
  if (send_packet(*socket, words, region->file())) {
    region->close_file();
    greeted_.push_back({connection, pass, std::move(*socket), std::move(*region),
                        now + limits::shared_greeting_wait});
  }
}

void greeter::forget(connection_id connection) {
  std::erase_if(expected_, [&](const auto& one) { return one.second == connection; });
  std::erase_if(greeted_, [&](const greeted& one) { return one.connection == connection; });
}

void greeter::open_door(time_point now) {
  while (door_) {
    file_handle one = next_at_door(door_);
    if (!one) {
      return;
    }
    if (came_.size() >= limits::shared_greetings_max) {
      came_.pop_front();
    }
    came_.push_back({std::move(one), now + limits::shared_greeting_wait});
  }
}

/// Whether this greeting is over, whatever came of it.
bool greeter::is_answered(greeted& g, std::vector<meeting>& out) const {
  const auto came = receive_packet(g.socket, shared_answer::size);
  if (came && !*came) {
    return false;
  }
  if (came && check_answer((*came)->bytes, g.pass)) {
    out.push_back({g.connection, std::move(g.socket), std::move(g.region), true});
  }
  return true;
}

/// Likewise. The connection that a visitor speaks of may become known here a moment later.
bool greeter::is_done(visitor& v, std::size_t room, std::vector<meeting>& out) {
  if (!v.region) {
    auto came = receive_packet(v.socket, shared_greeting::size);
    if (came && !*came) {
      return false;
    }
    const auto greeting =
        came ? decode_greeting((*came)->bytes) : result<shared_greeting>{came.error()};
    if (!greeting || !(*came)->attached) {
      return true;
    }
    auto region = shared_region::take(std::move((*came)->attached));
    if (!region) {
      return true;
    }
    v.pass = greeting->pass;
    v.region.emplace(std::move(*region));
  }
  const auto found = expected_.find(*v.pass);
  if (found == expected_.end()) {
    return false;
  }
  if (out.size() >= room) { // the connection goes on as it is
    return true;
  }
  const connection_id connection = found->second;
  expected_.erase(found); // once for each connection
  if (send_packet(v.socket, encode_answer(*v.pass), -1)) {
    out.push_back({connection, std::move(v.socket), std::move(*v.region), false});
  }
  return true;
}

std::vector<greeter::meeting> greeter::turn(time_point now, std::size_t room) {
  open_door(now);
  std::vector<meeting> met;
  for (auto one = greeted_.begin(); one != greeted_.end();) {
    one = is_answered(*one, met) || now >= one->until ? greeted_.erase(one) : std::next(one);
  }
  for (auto one = came_.begin(); one != came_.end();) {
    one = is_done(*one, room, met) || now >= one->until ? came_.erase(one) : std::next(one);
  }
  return met;
}

void greeter::add_sockets(std::vector<int>& out) const {
  if (door_) {
    out.push_back(door_.get());
  }
  for (const greeted& one : greeted_) {
    out.push_back(one.socket.get());
  }
  for (const visitor& one : came_) {
    if (!one.region) { // else it waits for us
      out.push_back(one.socket.get());
    }
  }
}

} // namespace ovir::actors
