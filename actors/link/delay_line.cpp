#include "actors/link/delay_line.hpp"

#include "messages/limits/general.hpp"
#include "storage/env/thread_signals.hpp"

#include <algorithm>
#include <utility>

namespace ovir::actors {

delay_line::delay_line(network& to) : to_(to) {}

delay_line::~delay_line() {
  {
    const std::lock_guard lock{guard_};
    over_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void delay_line::set_delay(std::chrono::milliseconds delay) {
  const std::lock_guard lock{guard_};
  delay_ = std::min(delay, limits::chaos_delay_max);
  if (delay_.count() > 0 && !thread_.joinable()) {
    thread_ = std::thread{[this] { pass_on(); }};
  }
}

connection_id delay_line::connect(const std::string& address, channel kind,
                                  const node_id& expected) {
  return to_.connect(address, kind, expected);
}

result<void> delay_line::send(connection_id connection, message_kind kind, std::uint32_t target,
                              std::shared_ptr<const std::vector<std::byte>> bytes) {
  const auto passes = [&] { return line_.empty() && delay_.count() == 0; };
  {
    std::unique_lock lock{guard_};
    if (kind != message_kind::reply && kind != message_kind::request && !passes()) {
      const std::size_t charge = bytes->size() + limits::message_overhead_bytes;
      if (held_bytes_ + charge > limits::data_send_bytes_max) {
        lock.unlock();
        error reason{errc::busy, "more is sent than a delayed line holds"};
        to_.close(connection, reason);
        return reason;
      }
      // Nothing overtakes what was sent before it, even when the delay shrinks.
      auto due = clock::now() + delay_;
      due = line_.empty() ? due : std::max(due, line_.back().due);
      held_bytes_ += charge;
      line_.push_back({due, connection, kind, target, std::move(bytes)});
      lock.unlock();
      changed_.notify_one();
      return {};
    }
  }
  return to_.send(connection, kind, target, std::move(bytes));
}

void delay_line::close(connection_id connection, error reason) {
  to_.close(connection, std::move(reason));
}

void delay_line::pass_on() {
  storage::leave_signals_to_main();
  std::unique_lock lock{guard_};
  while (!over_) {
    if (line_.empty()) {
      changed_.wait(lock);
    } else if (const auto due = line_.front().due; due > clock::now()) {
      changed_.wait_until(lock, due);
    } else {
      // Sent under the lock, so that nothing sent meanwhile overtakes it.
      const held next = std::move(line_.front());
      line_.pop_front();
      held_bytes_ -= next.bytes->size() + limits::message_overhead_bytes;
      static_cast<void>(to_.send(next.connection, next.kind, next.target, next.bytes));
    }
  }
}

} // namespace ovir::actors
