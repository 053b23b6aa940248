#pragma once

#include "actors/link/connection_slots.hpp"
#include "actors/link/receive_budget.hpp"
#include "actors/link/tls_network.hpp"
#include "actors/quic/quic_lanes.hpp"
#include "actors/quic/quic_session.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ovir::actors {

/// What the links of a node need; outlives them.
struct quic_link_parts {
  const secret_key& key;
  network_handler& handler;
  quic_lanes& lanes;
  network_identity self;
  link_deadlines deadlines;
  /// From any thread: a message of this connection that had to wait for room fits now; leads to
  /// `resume`. Must only post.
  std::function<void(connection_id)> resume;
  /// A connection of ours of which nothing was ever heard. True: others see to it, and the handler
  /// is not told.
  std::function<bool(const peer_info&, const error&)> unanswered{};
};

/// One channel on a QUIC stream: hello and verdict, then messages, as docs/formats/link.md has them
/// on a TLS connection, with the same deadlines and bounds. Pure but for the handler, which it
/// calls. What it wants of its stream its owner takes after every call (`take`).
class quic_link {
public:
  /// `peer` has the connection, channel, direction, place and, of one of ours, the node expected.
  quic_link(const quic_link_parts& parts, peer_info peer, std::string where,
            connection_slots::slot place, quic_time now);
  ~quic_link();
  quic_link(const quic_link&) = delete;
  quic_link& operator=(const quic_link&) = delete;

  /// The stream stands; the other side proved `node`.
  void begin(const node_id& node, const std::array<std::byte, exporter_bytes>& exporter,
             quic_time now);
  /// The next bytes of the stream; `end`: no more will come.
  void received(std::span<const std::byte> bytes, bool end, quic_time now);
  /// The peer has so many more bytes of what was written.
  void acked(std::uint64_t bytes, quic_time now);
  /// A message that `quic_lanes::reserve` counted.
  void send(message_kind kind, std::uint32_t target, const quic_session::block& bytes,
            quic_time now);
  /// Room came for the message that waits.
  void resume(quic_time now);
  /// Says goodbye, then ends.
  void close(const error& reason, quic_time now);
  /// Ends at once. `unheard`: nothing was ever heard of the peer.
  void lose(const error& reason, bool unheard = false);
  [[nodiscard]] std::optional<quic_time> deadline() const;
  /// `unheard`: as for `lose`, if it is over now.
  void on_time(quic_time now, bool unheard);

  /// What is to be done with the stream; each thing once.
  struct wish {
    std::vector<quic_session::block> write;
    bool finish{false};   ///< behind what is written
    std::size_t grant{0}; ///< bytes that the peer may send more
    bool admitted{false}; ///< both sides agreed to the channel just now
    bool over{false};     ///< the stream can be forgotten; what is under way on it is lost
  };
  [[nodiscard]] wish take();

  [[nodiscard]] const peer_info& peer() const noexcept { return peer_; }
  /// Of ours: the stream does not stand yet.
  [[nodiscard]] bool waits() const noexcept { return stage_ == stage::waiting; }
  [[nodiscard]] bool is_over() const noexcept { return stage_ == stage::over; }

private:
  enum class stage : std::uint8_t {
    waiting,
    hello_front,
    hello_rest,
    verdict_front,
    verdict_rest,
    open,
    parting, ///< reported; the last bytes go out and the peer's are thrown away
    over,
  };
  /// The message that is being read.
  struct incoming {
    std::vector<std::byte> front;          ///< what is filled of a hello, verdict or header
    std::size_t wanted{0};                 ///< of it
    std::optional<message_header> message; ///< whose payload is being read
    std::vector<std::byte> payload;
    std::vector<std::byte> kept; ///< came while there was no room
    bool reserved{false};        ///< the budget holds its bytes
    bool paused{false};
    bool ended{false}; ///< the peer says no more
    std::optional<quic_time> began;
  };
  /// Queued messages whose bytes the peer does not have yet.
  struct unsent {
    std::uint64_t end{0}; ///< of the stream, behind its last byte
    std::size_t charge{0};
  };

  void process(quic_time now);
  [[nodiscard]] std::size_t use(std::span<const std::byte> bytes, quic_time now);
  void use_front(std::span<const std::byte> bytes);
  void step(quic_time now);
  void on_hello_front();
  void on_hello(quic_time now);
  void on_verdict(quic_time now);
  void on_header();
  void begin_payload();
  void deliver();
  [[nodiscard]] result<void> judge(const link_hello& hello);
  void want(stage next, std::size_t bytes);
  void say(std::vector<std::byte> bytes);
  void say_hello();
  void open(quic_time now);
  void refuse(const error& reason, quic_time now);
  void part(const error& reason, quic_time now);
  void report(const error& reason, bool unheard);
  [[nodiscard]] std::string name() const;

  const quic_link_parts& parts_;
  peer_info peer_;
  const node_id expected_;
  const std::string where_; ///< the other end for sentences
  connection_slots::slot place_;
  std::array<std::byte, exporter_bytes> exporter_{};
  stage stage_{stage::waiting};
  bool connected_{false};
  bool reported_{false};
  std::optional<quic_time> due_; ///< of admission or parting
  incoming in_;
  std::shared_ptr<receive_budget> budget_;
  wish wish_;
  std::deque<unsent> unacked_;
  std::uint64_t written_{0}; ///< bytes of the stream
  std::uint64_t acked_{0};
  quic_time progress_{0};
  quic_time now_{0};
};

/// Lower ones are sent first: a transfer of weights holds no activation up, and that no probe.
[[nodiscard]] int rank_of(channel kind) noexcept;
/// What a peer may send on a channel before it is used up (messages/limits/quic.hpp).
[[nodiscard]] std::size_t window_of(channel kind) noexcept;

} // namespace ovir::actors
