#pragma once

#include "actors/link/network.hpp"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

namespace ovir::actors {

/// Holds what is sent to members back for a while, in order, as a slow network would: for drills.
/// Without a delay, and for shells, it adds nothing. Any thread.
class delay_line final : public network {
public:
  /// `to` outlives it.
  explicit delay_line(network& to);
  ~delay_line() override; ///< what is still held is dropped

  /// 0 to limits::chaos_delay_max; 0: none. What is held already keeps its time.
  void set_delay(std::chrono::milliseconds delay);

  connection_id connect(const std::string& address, channel kind, const node_id& expected) override;
  /// `busy` when limits::data_send_bytes_max are held, which closes the connection.
  result<void> send(connection_id connection, message_kind kind, std::uint32_t target,
                    std::shared_ptr<const std::vector<std::byte>> bytes) override;
  /// At once: what is held for it is lost, as on a line that is cut.
  void close(connection_id connection, error reason) override;

private:
  using clock = std::chrono::steady_clock;
  struct held {
    clock::time_point due;
    connection_id connection;
    message_kind kind;
    std::uint32_t target;
    std::shared_ptr<const std::vector<std::byte>> bytes;
  };

  void pass_on();

  network& to_;
  std::mutex guard_; ///< for what follows
  std::condition_variable changed_;
  std::deque<held> line_;
  std::size_t held_bytes_{0};
  std::chrono::milliseconds delay_{0};
  bool over_{false};
  std::thread thread_; ///< runs from the first delay on
};

} // namespace ovir::actors
