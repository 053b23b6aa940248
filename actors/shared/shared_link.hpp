#pragma once

#include "actors/link/link_format.hpp"
#include "actors/link/network.hpp"
#include "actors/link/network_traffic.hpp"
#include "actors/link/receive_budget.hpp"
#include "actors/shared/door.hpp"
#include "actors/shared/region.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace ovir::actors {

/// What both ends of a link are made of.
struct shared_parts {
  peer_info peer; ///< of the connection whose messages these are
  file_handle socket;
  shared_region region;
  bool opener{false}; ///< this side opened the connection
  /// Messages that this side sent over the connection before: they come first.
  std::uint64_t sent_before{0};
  /// Those that came over it and that the handler has. Counted by others.
  std::shared_ptr<const std::atomic<std::uint64_t>> came_before;
  std::chrono::milliseconds half_message; ///< as of `link_deadlines`
};

/// The messages of one data connection, both ways, through memory that two processes share. As the
/// connection it stands for: bounded, in order, and each byte is copied out of the memory before
/// anything looks at it. What is wrong with it is an error, and ends the connection, not the node.
///
/// `send` and `end` from any thread; the rest on the thread that serves all links. A thread that
/// sends copies into the ring itself while there is room.
class shared_link {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `handler` outlives it. `wake`: from any thread, makes the serving thread take a turn.
  shared_link(shared_parts parts, network_handler& handler,
              std::shared_ptr<network_traffic> traffic, std::function<void()> wake);
  ~shared_link();
  shared_link(const shared_link&) = delete;
  shared_link& operator=(const shared_link&) = delete;

  /// As `network::send`; an error ends the connection unless it is of `invalid_argument` or
  /// `over_limit`.
  [[nodiscard]] result<void> send(message_kind kind, std::uint32_t target,
                                  std::shared_ptr<const std::vector<std::byte>> bytes);
  /// Takes nothing more to send. What waits is sent within limits::close_wait.
  void close(error reason);

  /// Another message came over the connection itself, and is counted.
  void more_came();
  /// Delivers what came and sends what waits, a bounded amount. Whether anything moved; an error is
  /// why the connection must end, also where `close` asked for it.
  [[nodiscard]] result<bool> turn(time_point now);
  /// The other side rang, or has closed its socket. What ends a connection says so itself, and why:
  /// `turn` waits for that a while.
  void hear(time_point now);
  /// The serving thread is to sleep: the other side wakes it from now on. True: something is there
  /// already.
  [[nodiscard]] result<bool> sleep();
  /// Whether a deadline runs.
  [[nodiscard]] bool watched() const;

  /// The connection has ended: delivers what is there whole, and nothing after it returned. Waits
  /// for a delivery under way.
  void end();

  /// To be polled for bells; -1: there will be none.
  [[nodiscard]] int bells() const noexcept { return deaf_since_ ? -1 : socket_.get(); }
  [[nodiscard]] const peer_info& peer() const noexcept { return peer_; }
  /// A message came this way: none may come over the connection any more.
  [[nodiscard]] bool began() const noexcept { return began_.load(); }

private:
  struct queued {
    std::array<std::byte, message_header::size> header{};
    std::shared_ptr<const std::vector<std::byte>> bytes;
    std::size_t sent{0}; ///< of header and bytes together

    [[nodiscard]] std::size_t size() const { return header.size() + bytes->size(); }
    [[nodiscard]] std::span<const std::byte> rest() const;
  };

  [[nodiscard]] result<bool> write_queued();
  [[nodiscard]] result<void> check_sending(time_point now);
  [[nodiscard]] result<void> check_receiving(time_point now);
  [[nodiscard]] bool half_received() const;
  [[nodiscard]] bool waits_for_others() const;
  [[nodiscard]] result<bool> receive();
  [[nodiscard]] result<bool> begin();
  [[nodiscard]] result<bool> read_header();
  [[nodiscard]] result<bool> read_payload();
  void deliver();

  const peer_info peer_;
  const file_handle socket_;
  const shared_region region_;
  const std::chrono::milliseconds half_message_;
  network_handler& handler_;
  const std::shared_ptr<network_traffic> traffic_;
  const std::function<void()> wake_;
  std::shared_ptr<receive_budget> budget_;
  const std::shared_ptr<const std::atomic<std::uint64_t>> came_before_;
  std::atomic<bool> began_{false};
  std::atomic<bool> waits_for_before_{false};
  std::optional<time_point> deaf_since_; ///< the other side has closed its socket

  /// What is being sent.
  struct outgoing {
    explicit outgoing(std::span<std::byte> ring) : writer(ring) {}
    mutable std::mutex guard; ///< for the rest; never taken before that of `incoming`
    ring_writer writer;
    std::deque<queued> queue;
    std::size_t queued_bytes{0};
    bool accepting{true};
    std::optional<error> closing;
    std::optional<time_point> close_by;
    std::optional<time_point> stuck_since;
  };
  outgoing out_;

  /// What is being received.
  struct incoming {
    explicit incoming(std::span<std::byte> ring) : reader(ring) {}
    mutable std::mutex guard; ///< for the rest; held while the handler has a message
    ring_reader reader;
    bool ended{false};
    std::array<std::byte, message_header::size> header{};
    std::size_t filled{0};
    std::optional<message_header> message; ///< whose payload is being read
    bool reserved{false};
    std::vector<std::byte> payload;
    std::optional<time_point> since; ///< that message is incomplete
  };
  incoming in_;
};

} // namespace ovir::actors
