#pragma once

#include "actors/link/receive_budget.hpp"
#include "actors/link/tls_host.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace ovir::actors {

/// An admitted connection: messages both ways, bounded (docs/formats/link.md). `send` and `close`
/// from any thread, the rest on its context's thread. A thread that sends little while nothing else
/// is under way writes to the socket itself: waking another takes longer than that. Lives as long
/// as the network knows it or something is under way on its socket.
class tls_link : public std::enable_shared_from_this<tls_link> {
public:
  /// `connection.socket` belongs to `context`.
  tls_link(boost::asio::io_context& context, tls_host& host, admitted_connection connection);
  ~tls_link();
  tls_link(const tls_link&) = delete;
  tls_link& operator=(const tls_link&) = delete;

  /// Tells the handler and begins to read.
  void start();
  [[nodiscard]] result<void> send(message_kind kind, std::uint32_t target,
                                  std::shared_ptr<const std::vector<std::byte>> bytes);
  void close(error reason);
  /// For the end of the network, when no thread runs any more: what `closed` still owes.
  void abandon(const error& reason);

private:
  using clock = std::chrono::steady_clock;
  enum class stage : std::uint8_t {
    open,
    draining, ///< what is queued goes out, then a goodbye; nothing is received any more
    parting,  ///< the handler was told; the peer's last bytes are thrown away
    over,
  };
  struct queued {
    std::array<std::byte, message_header::size> header{};
    std::shared_ptr<const std::vector<std::byte>> bytes;
    std::size_t sent{0}; ///< of header and bytes together, encrypted already

    [[nodiscard]] std::size_t size() const { return header.size() + bytes->size(); }
  };

  // Receiving
  void read();
  void process();
  [[nodiscard]] bool read_header();
  [[nodiscard]] bool read_payload();
  [[nodiscard]] bool read_some(std::span<std::byte> out, std::size_t& bytes);
  [[nodiscard]] bool begin_payload();
  void deliver();
  void resume();
  void discard();

  // Sending
  [[nodiscard]] bool write_here();
  void pump();
  [[nodiscard]] bool encrypt();
  [[nodiscard]] bool encrypt_some();
  [[nodiscard]] bool next_message();
  void message_sent();
  void write_rest();
  void say_goodbye(const error& reason);

  // Time
  void watch();
  [[nodiscard]] std::optional<clock::time_point> next_deadline() const;
  void on_time();

  // Ends
  void begin_close(const error& reason);
  void violated(const error& reason);
  void lost(const error& reason);
  void part();
  void finish();
  void report(const error& reason);
  [[nodiscard]] std::string name() const;

  /// The right to touch what only one thread at a time may. The context's thread waits for it at
  /// the start of everything it does here; others take it if it is free, for as long as a short
  /// write takes, and call nobody meanwhile.
  class turn {
  public:
    explicit turn(tls_link& link) : link_(link), lock_(link.turns_) { link_.taken_ = true; }
    ~turn() { link_.taken_ = false; }
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;

  private:
    tls_link& link_;
    std::unique_lock<std::recursive_mutex> lock_;
  };

  tls_host& host_;
  const peer_info peer_;
  boost::asio::io_context& context_;
  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  std::unique_ptr<tls_engine> engine_;
  connection_slots::slot place_;
  std::shared_ptr<receive_budget> budget_;

  std::recursive_mutex turns_; ///< for what follows, up to `mutex_`
  bool taken_{false};          ///< by this thread already, where `turns_` could be locked
  stage stage_{stage::open};
  bool started_{false};
  bool reported_{false};
  error reason_; ///< of a close that was asked for

  /// The message that is being read.
  struct incoming {
    std::array<std::byte, message_header::size> header{};
    std::size_t filled{0};                 ///< of the header
    std::optional<message_header> message; ///< whose payload is being read
    std::vector<std::byte> payload;
    bool reserved{false}; ///< the budget holds its bytes
    bool paused{false};
    bool reading{false};
    std::optional<clock::time_point> began;
  };
  incoming in_;

  /// What is being written.
  struct outgoing {
    std::deque<queued> batch; ///< taken from `queue_`; the first may be partly sent
    std::vector<std::byte> staged;
    std::vector<std::byte> writing;
    std::size_t written{0};
    bool busy{false};
    clock::time_point progress;
  };
  outgoing out_;

  std::optional<clock::time_point> close_by_;
  bool timer_set_{false};

  std::mutex mutex_; ///< for what follows
  std::deque<queued> queue_;
  std::size_t queued_bytes_{0}; ///< in `queue_` and the batch, overhead included
  bool accepting_{true};
  bool pump_posted_{false};
};

} // namespace ovir::actors
