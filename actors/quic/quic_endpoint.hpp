#pragma once

#include "actors/link/connection_slots.hpp"
#include "actors/quic/quic_door.hpp"
#include "actors/quic/quic_link.hpp"
#include "actors/quic/quic_session.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ovir::actors {

/// Every QUIC connection of a node behind one port, and the channels on them: what `network`
/// promises, as a function of datagrams, time and chance. Between two nodes all channels share a
/// connection where they can, whichever side dialled it, so that their ranks count. One caller at a
/// time; the handler is called within its calls.
class quic_endpoint {
public:
  /// How connections of a node are told apart; from any side.
  using id_source = std::function<connection_id()>;

  /// `identity` outlives it, and so does what `parts` refers to.
  quic_endpoint(const quic_identity& identity, quic_link_parts parts, quic_chance chance,
                id_source ids, connection_slots::pool_sizes pending);
  ~quic_endpoint();
  quic_endpoint(const quic_endpoint&) = delete;
  quic_endpoint& operator=(const quic_endpoint&) = delete;

  void receive(const udp_address& from, std::span<const std::byte> datagram, quic_time now);
  /// The next datagram to send, written into `out` (at least limits::quic_datagram_bytes_max).
  struct departure {
    udp_address to;
    std::size_t bytes{0};
  };
  [[nodiscard]] std::optional<departure> write(std::span<std::byte> out, quic_time now);
  [[nodiscard]] std::optional<quic_time> deadline() const;
  void on_time(quic_time now);

  /// What `network::connect` wants, its address found: `what.address` is for sentences, `to` where
  /// it leads, `what.node` who must be there, or empty.
  void connect(const peer_info& what, const udp_address& to, quic_time now);
  /// A message that `quic_lanes::reserve` counted.
  void send(connection_id connection, message_kind kind, std::uint32_t target,
            const quic_session::block& bytes, quic_time now);
  void close(connection_id connection, const error& reason, quic_time now);
  /// At once, without a goodbye.
  void lose(connection_id connection, const error& reason, quic_time now);
  void resume(connection_id connection, quic_time now);
  /// The system says that nothing listens there: connections that never heard of it are over.
  void unreachable(const udp_address& there, quic_time now);
  /// The end of the network: every connection is told, and peers are, by what `write` still gives.
  void shut_down(const error& reason, quic_time now);

  struct figures {
    std::size_t sessions{0};
    std::chrono::nanoseconds rtt{0}; ///< mean of those that have one
    std::uint64_t lost{0};           ///< datagrams, ever
  };
  [[nodiscard]] figures measured() const;
  /// QUIC connections, also those under way.
  [[nodiscard]] std::size_t size() const noexcept { return sessions_.size(); }
  /// Of addresses that have a key to prove still, and channels to be admitted.
  [[nodiscard]] std::size_t pending() const { return slots_->pending(); }

private:
  struct far_side;
  using far_sides = std::map<std::uint64_t, std::unique_ptr<far_side>>;
  /// Where a connection's link is.
  struct place {
    std::uint64_t session{0};
    quic_stream stream{-1}; ///< -1: it waits for one
  };

  /// Whether it ended a session.
  bool take_reset(const udp_address& from, std::span<const std::byte> datagram, quic_time now);
  void meet(const udp_address& from, const quic_opening& opening, quic_time now);
  [[nodiscard]] far_side* find_way(const peer_info& what, const udp_address& to) const;
  [[nodiscard]] far_side* dial(const udp_address& to, quic_time now, error& problem);
  [[nodiscard]] quic_link* find(connection_id connection, far_side*& of);
  void settle(far_side& of, quic_time now);
  void begin_streams(far_side& of, quic_time now);
  void take_wishes(far_side& of, quic_time now);
  void lose_links(far_side& of, const error& reason, bool unheard);
  void settle_names(far_side& of);
  void want_to_write(far_side& of);
  void put_out(quic_time now);
  void look_at_time(far_side& of, quic_time now);
  void forget(std::uint64_t number);

  const quic_identity& identity_;
  const quic_link_parts parts_;
  const quic_chance chance_;
  const id_source ids_;
  std::shared_ptr<connection_slots> slots_;
  quic_door door_;
  prefix_budget handshakes_;
  far_sides sessions_;
  std::uint64_t last_session_{0};
  std::map<quic_id, std::uint64_t> names_;
  std::map<connection_id, place> links_;
  std::deque<std::uint64_t> due_; ///< sessions that may have something to send
  std::size_t burst_{0};          ///< datagrams of the first of them in one go
  struct answer {
    udp_address to;
    std::vector<std::byte> bytes;
  };
  std::deque<answer> answers_;
  std::vector<std::uint64_t> crowded_out_;       ///< sessions whose place is needed
  std::vector<connection_id> crowded_out_links_; ///< likewise
  std::uint64_t lost_{0};                        ///< datagrams of sessions that are over
};

} // namespace ovir::actors
