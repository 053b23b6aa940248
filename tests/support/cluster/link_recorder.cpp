#include "tests/support/cluster/link_recorder.hpp"

#include <algorithm>

namespace ovir::test {

namespace {

constexpr std::chrono::seconds longest_wait{30};

} // namespace

result<role_set> link_recorder::admit(const actors::peer_hello& hello) {
  {
    const std::lock_guard lock{mutex_};
    hellos_.push_back(hello);
  }
  changed_.notify_all();
  if (admits_) {
    return admits_(hello);
  }
  return hello.roles;
}

void link_recorder::connected(const actors::peer_info& peer) {
  {
    const std::lock_guard lock{mutex_};
    connected_.push_back(peer);
  }
  changed_.notify_all();
}

void link_recorder::received(const actors::peer_info& peer, actors::message_kind kind,
                             std::uint32_t target, actors::received_bytes bytes) {
  std::function<void(message)> call;
  {
    const std::lock_guard lock{mutex_};
    const auto is_this = [&](const auto& other) {
      return other.peer.connection == peer.connection;
    };
    if (std::any_of(closed_.begin(), closed_.end(), is_this)) {
      broken_promise_ = "received after closed";
    }
    if (std::none_of(connected_.begin(), connected_.end(), [&](const actors::peer_info& other) {
          return other.connection == peer.connection;
        })) {
      broken_promise_ = "received before connected";
    }
    if (on_message_) {
      call = on_message_;
    } else {
      received_.push_back({peer, kind, target, bytes});
    }
  }
  if (call) {
    call({peer, kind, target, std::move(bytes)});
  }
  changed_.notify_all();
}

void link_recorder::closed(const actors::peer_info& peer, const error& reason) {
  {
    const std::lock_guard lock{mutex_};
    if (std::any_of(closed_.begin(), closed_.end(), [&](const ending& other) {
          return other.peer.connection == peer.connection;
        })) {
      broken_promise_ = "closed twice";
    }
    closed_.push_back({peer, reason});
  }
  changed_.notify_all();
}

template <class T>
std::optional<T> link_recorder::wait_for(const std::vector<T>& of, std::size_t count) {
  std::unique_lock lock{mutex_};
  if (!changed_.wait_for(lock, longest_wait, [&of, count] { return of.size() > count; })) {
    return std::nullopt;
  }
  return of[count];
}

std::optional<actors::peer_info> link_recorder::wait_connected(std::size_t count) {
  return wait_for(connected_, count);
}

std::optional<link_recorder::message> link_recorder::wait_received(std::size_t count) {
  return wait_for(received_, count);
}

std::optional<link_recorder::ending> link_recorder::wait_closed(std::size_t count) {
  return wait_for(closed_, count);
}

std::optional<actors::peer_hello> link_recorder::wait_hello(std::size_t count) {
  return wait_for(hellos_, count);
}

std::optional<link_recorder::ending>
link_recorder::wait_closed_of(actors::connection_id connection) {
  std::unique_lock lock{mutex_};
  std::optional<ending> found;
  changed_.wait_for(lock, longest_wait, [&] {
    const auto at = std::find_if(closed_.begin(), closed_.end(),
                                 [&](const ending& e) { return e.peer.connection == connection; });
    if (at != closed_.end()) {
      found = *at;
    }
    return found.has_value();
  });
  return found;
}

std::size_t link_recorder::connections() const {
  const std::lock_guard lock{mutex_};
  return connected_.size();
}

std::size_t link_recorder::endings() const {
  const std::lock_guard lock{mutex_};
  return closed_.size();
}

std::size_t link_recorder::messages() const {
  const std::lock_guard lock{mutex_};
  return received_.size();
}

std::size_t link_recorder::hellos() const {
  const std::lock_guard lock{mutex_};
  return hellos_.size();
}

void link_recorder::drop_messages() {
  std::vector<message> dropped;
  const std::lock_guard lock{mutex_};
  dropped.swap(received_);
}

void link_recorder::on_message(std::function<void(message)> call) {
  const std::lock_guard lock{mutex_};
  on_message_ = std::move(call);
}

std::string link_recorder::broken_promise() const {
  const std::lock_guard lock{mutex_};
  return broken_promise_;
}

} // namespace ovir::test
