#include "actors/group/seat_links.hpp"

#include "messages/limits/parts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <utility>

namespace ovir::actors {

seat_links::seat_links(std::vector<node_id> nodes, sender send, std::chrono::nanoseconds busy)
    : nodes_(std::move(nodes)), send_(std::move(send)), busy_(busy) {}

std::optional<std::uint32_t> seat_links::member_of(const node_id& node) const {
  const auto found = std::find(nodes_.begin(), nodes_.end(), node);
  return found == nodes_.end() ? std::nullopt
                               : std::optional{static_cast<std::uint32_t>(found - nodes_.begin())};
}

void seat_links::put(const node_id& from, bytes message) {
  const auto member = member_of(from);
  if (!member) {
    return;
  }
  const std::lock_guard lock{guard_};
  if (lost_) {
    return;
  }
  if (message->size() > limits::group_inbox_bytes_max - bytes_) {
    lost_ =
        fmt::format("member {}, {}, sends more than a pass can need", *member, short_name(from));
  } else {
    bytes_ += message->size();
    inbox_.push_back({*member, std::move(message)});
  }
  something_.store(true);
  changed_.notify_all();
}

void seat_links::lose(const node_id& node) {
  if (const auto member = member_of(node)) {
    end(fmt::format("member {}, {}, is gone", *member, short_name(node)));
  }
}

void seat_links::end(const std::string& why) {
  const std::lock_guard lock{guard_};
  if (!lost_) {
    lost_ = why;
    something_.store(true);
    changed_.notify_all();
  }
}

bool seat_links::empty() const {
  const std::lock_guard lock{guard_};
  return inbox_.empty() && !lost_;
}

void seat_links::send(std::uint32_t member, bytes message) {
  send_(nodes_.at(member), std::move(message));
}

result<std::optional<group_links::letter>> seat_links::receive(time_point until) {
  if (busy_.count() > 0) {
    const time_point soon = std::min(until, now() + busy_);
    while (!something_.load() && now() < soon) {
      std::this_thread::yield();
    }
  }
  std::unique_lock lock{guard_};
  changed_.wait_until(lock, until, [this] { return !inbox_.empty() || lost_; });
  if (!inbox_.empty()) {
    letter next = std::move(inbox_.front());
    inbox_.pop_front();
    bytes_ -= next.message->size();
    something_.store(!inbox_.empty() || lost_);
    return std::optional{std::move(next)};
  }
  if (lost_) {
    return fail(errc::peer_lost, "{}", *lost_);
  }
  return std::optional<letter>{};
}

} // namespace ovir::actors
