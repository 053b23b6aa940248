#pragma once

#include "actors/link/link_format.hpp"
#include "actors/quic/quic_identity.hpp"
#include "actors/quic/udp_address.hpp"

#include <ngtcp2/ngtcp2.h>
#include <ngtcp2/ngtcp2_crypto.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::actors {

/// Since any moment, the same one for everything that is handed in; it never goes back.
using quic_time = std::chrono::nanoseconds;
/// Fills with random bytes.
using quic_chance = std::function<void(std::span<std::byte>)>;
using quic_stream = std::int64_t;

/// What names a connection in a datagram for this side. Ours all have this length.
inline constexpr std::size_t quic_id_bytes = 16;
using quic_id = std::array<std::uint8_t, quic_id_bytes>;

/// What a datagram that began a connection said (`quic_door`). The address behind it is proven.
struct quic_opening {
  ngtcp2_cid original{}; ///< the id that the client drew first
  ngtcp2_cid retried{};  ///< the one that it was given for its second try
  ngtcp2_cid client{};   ///< its own
  std::uint32_t version{0};
  std::vector<std::uint8_t> token{}; ///< that it showed
};

/// What a session tells while it takes in a datagram, or time. The session may not be called
/// meanwhile.
class quic_listener {
public:
  /// The handshake is over: the peer proved this key.
  virtual void ready(const node_id& peer) = 0;
  /// The peer opened a stream.
  virtual void opened(quic_stream stream) = 0;
  /// The next bytes of a stream; `end`: no more will come.
  virtual void received(quic_stream stream, std::span<const std::byte> bytes, bool end) = 0;
  /// The peer has so many more of the bytes that were queued; they are let go.
  virtual void acked(quic_stream stream, std::uint64_t bytes) = 0;
  /// The stream is over in both directions, or the peer gave it up.
  virtual void ended(quic_stream stream) = 0;

protected:
  ~quic_listener() = default;
};

/// One QUIC connection as a function of datagrams, time and chance: bytes of ordered streams in and
/// out, after a handshake in which both sides prove their keys. Holds what is queued until the peer
/// has it, and takes in no more than it granted. Only the key exchange draws from GnuTLS's own
/// chance. One caller at a time; no socket, no clock.
///
/// Datagrams of another address than the one it began with are dropped: no migration.
class quic_session {
public:
  using block = std::shared_ptr<const std::vector<std::byte>>;

  /// `identity`, `chance` and `to` outlive it. `internal` when a library refuses.
  [[nodiscard]] static result<std::unique_ptr<quic_session>>
  connect(const quic_identity& identity, const quic_chance& chance, quic_listener& to,
          const udp_address& peer, quic_time now);
  [[nodiscard]] static result<std::unique_ptr<quic_session>>
  accept(const quic_identity& identity, const quic_chance& chance, quic_listener& to,
         const udp_address& peer, const quic_opening& opening, quic_time now);
  ~quic_session();
  quic_session(const quic_session&) = delete;
  quic_session& operator=(const quic_session&) = delete;

  void receive(const udp_address& from, std::span<const std::byte> datagram, quic_time now);
  /// Writes the next datagram; 0: none now. `out` has at least limits::quic_datagram_bytes_max.
  [[nodiscard]] std::size_t write(std::span<std::byte> out, quic_time now);
  /// After what was written in one go: datagrams have their times.
  void written(quic_time now);
  /// When `on_time` is due.
  [[nodiscard]] std::optional<quic_time> deadline() const;
  void on_time(quic_time now);

  /// A stream of our own; nothing while the peer allows no more. Lower ranks are sent first, equal
  /// ones in turn.
  [[nodiscard]] std::optional<quic_stream> open(int rank);
  void rank(quic_stream stream, int rank);
  /// Sends these bytes behind those before.
  void queue(quic_stream stream, block bytes);
  /// Says the end of what this side sends.
  void finish(quic_stream stream);
  /// Gives a stream up, in both directions.
  void drop(quic_stream stream);
  /// The peer may send so many more bytes on this stream.
  void grant(quic_stream stream, std::size_t bytes);
  /// And these all together: each stream has its own bound.
  void grant_connection(std::size_t bytes);
  /// The peer may have so many more streams open.
  void grant_streams(std::size_t count);

  /// Ends it and tells the peer, in one more datagram.
  void close(const error& reason, quic_time now);
  /// Why it is over; nothing while it is not. `write` may still have a last datagram.
  [[nodiscard]] const std::optional<error>& end() const noexcept { return end_; }

  [[nodiscard]] bool is_ready() const noexcept { return ready_; }
  /// When a datagram of the peer was last taken in; nothing: never.
  [[nodiscard]] std::optional<quic_time> heard() const noexcept { return heard_; }
  [[nodiscard]] const udp_address& peer() const noexcept { return peer_; }
  /// After the handshake: a secret of this connection that both sides can compute.
  [[nodiscard]] result<std::array<std::byte, exporter_bytes>> exporter() const;

  /// Names that came up and went since the last call: whose datagrams are this session's.
  struct names {
    std::vector<quic_id> added;
    std::vector<quic_id> removed;
  };
  [[nodiscard]] names take_names();

  struct figures {
    std::chrono::nanoseconds rtt{0}; ///< smoothed; 0: not measured
    std::uint64_t lost{0};           ///< datagrams with bytes of streams that were sent again
  };
  [[nodiscard]] figures measured() const;

private:
  /// What is to be sent on a stream.
  struct outgoing {
    std::deque<block> blocks;   ///< the first may be acknowledged in part
    std::size_t first_acked{0}; ///< of the first block
    std::size_t next{0};        ///< block of which bytes are to be sent
    std::size_t next_sent{0};   ///< of that block
    int rank{0};
    bool finish{false};
    bool finished{false}; ///< was said
    bool blocked{false};  ///< until something of the peer comes
    bool dropped{false};  ///< nothing more is sent; ngtcp2 may still look at the bytes

    [[nodiscard]] bool waits() const {
      return !dropped && !blocked && (next < blocks.size() || (finish && !finished));
    }
  };
  struct conn_free {
    void operator()(ngtcp2_conn* conn) const noexcept { ngtcp2_conn_del(conn); }
  };
  struct callbacks; ///< ngtcp2's, defined in the source

  quic_session(const quic_identity& identity, const quic_chance& chance, quic_listener& to,
               const udp_address& peer);
  [[nodiscard]] result<void> begin(const quic_opening* opening, quic_time now);
  [[nodiscard]] ngtcp2_settings settings_at(quic_time now) const;
  [[nodiscard]] quic_id draw_id();
  [[nodiscard]] std::uint64_t reached(quic_time now);
  [[nodiscard]] std::map<quic_stream, outgoing>::iterator next_to_send();
  [[nodiscard]] std::size_t fill(std::span<std::byte> out, quic_time now);
  void sent(outgoing& from, std::size_t bytes, bool end);
  void take_acked(outgoing& of, std::uint64_t bytes);
  void fail_with(int problem, quic_time now);
  void over(error reason);
  void say_close(const ngtcp2_connection_close_error& how, quic_time now);
  [[nodiscard]] int on_ready();

  const quic_identity& identity_;
  const quic_chance& chance_;
  quic_listener& to_;
  const udp_address peer_;
  gnutls_session_handle tls_;
  ngtcp2_crypto_conn_ref ref_{};
  ngtcp2_path_storage path_{};
  std::unique_ptr<ngtcp2_conn, conn_free> conn_;
  std::map<quic_stream, outgoing> out_;
  quic_stream turn_{-1}; ///< last stream that was sent of
  std::vector<std::byte> last_words_;
  std::optional<error> end_;
  quic_time latest_{0};
  std::optional<quic_time> heard_;
  bool ready_{false};
  names names_;
  std::uint64_t lost_{0}; ///< of streams that are over
  std::string problem_;   ///< what a callback found
};

} // namespace ovir::actors
