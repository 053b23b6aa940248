#pragma once

#include "actors/link/network.hpp"
#include "actors/nat/nat_message.hpp"
#include "actors/runtime/allowance.hpp"
#include "messages/limits/nat.hpp"

#include <array>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// What a helper wants done: a message to a guest, or the end of its connection.
struct helper_effect {
  connection_id to{};
  std::optional<nat_message> say{}; ///< none: close it
  std::string reason{};             ///< of a close, for people
};

/// What a node does for members that reach it and not each other: it tells where it sees them,
/// passes on the two messages of a meeting, and, with the role relay, the bytes of streams, which
/// are TLS between the two ends. It holds no bytes: a sender that is more than
/// limits::relay_window_bytes ahead of what the receiver has signed, as far as that was passed on,
/// loses its connection. A key that sends faster than its rate waits, because the counts of its
/// receivers are passed on later. Every bound is in limits/nat.hpp. Pure; owned by one thread;
/// times are handed in and never go back.
class relay_book {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using effects = std::vector<helper_effect>;

  /// `self` signs what is seen and outlives it. `relays`: passes streams, too.
  relay_book(const secret_key& self, bool relays) : self_(self), relays_(relays) {}

  /// A member's relay connection stands; `seen` is the other end's numeric HOST:PORT. `probe`: by
  /// which this node's UDP socket knows datagrams of the guest, drawn; zeros: it has none.
  [[nodiscard]] effects connected(connection_id guest, const node_id& node, const std::string& seen,
                                  time_point now, const punch_token& probe = {});
  /// A datagram with that token came from there. Counts on the host at which the guest's connection
  /// is seen and on no other: the sender of a datagram may name any.
  [[nodiscard]] effects probed(const punch_token& probe, const std::string& from, time_point now);
  [[nodiscard]] effects received(connection_id guest, const nat_message& message, time_point now);
  [[nodiscard]] effects closed(connection_id guest, time_point now);
  /// Several times a second: counts that waited, guests and streams that are overdue.
  [[nodiscard]] effects tick(time_point now);

  /// Puts out guests that are members no longer, with their streams.
  [[nodiscard]] effects keep(const std::function<bool(const node_id&)>& stays, time_point now);
  /// What receivers signed since the last call: of each direction of a stream every part that was
  /// passed whole, and at its end the rest; the oldest are dropped above limits::relay_bills_max.
  /// Nothing of streams of which this node is an end.
  [[nodiscard]] std::vector<carried_part> take_bills();

  struct counters {
    std::size_t guests{0};
    std::size_t held{0}; ///< nodes that can be met here
    std::size_t streams{0};
    std::uint64_t passed_bytes{0}; ///< since the beginning
  };
  [[nodiscard]] counters count() const;

private:
  struct guest {
    node_id node;
    std::string seen;
    punch_token probe{};
    std::string seen_udp{}; ///< empty: no probe came
    bool joined{false};
    helper_join told{};
    allowance asks;
    std::uint32_t next_stream{1}; ///< odd: chosen here
    std::size_t streams{0};
    time_point idle_since{};
  };
  using stream_number = std::uint64_t;
  /// What one end sends to the other.
  struct lane {
    std::uint64_t passed{0};
    std::uint64_t counted{0}; ///< as the receiver signed last
    std::uint64_t granted{0}; ///< as the sender was told last
    signature proof{};
    std::optional<time_point> told_at{}; ///< a count waits until then
  };
  struct stream_end_point {
    connection_id guest{};
    std::uint32_t number{0};
    node_id node{};
    lane sends{};
  };
  struct stream {
    std::array<stream_end_point, 2> ends; ///< first: who opened it
    std::array<std::uint8_t, 16> session{};
    bool taken{false};
    time_point opened{};
  };
  struct key_use {
    std::size_t opened{0}; ///< streams that it opened, and ...
    std::size_t lead_to{0};
    std::uint64_t bytes{0}; ///< sent since `since`
    time_point since{};
    time_point paid_until{}; ///< what it sent is worth this much time at its rate
  };
  struct open_meeting {
    connection_id asker{};
    node_id node{}; ///< who asked
    time_point until{};
  };

  void on(connection_id from, guest& g, const helper_join& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const helper_ask& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const meeting& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const stream_open& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const stream_taken& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const stream_bytes& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const stream_count& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const stream_end& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const address_seen& m, time_point now, effects& out);
  void on(connection_id from, guest& g, const helper_answer& m, time_point now, effects& out);

  /// This node itself reaches its guests in the same way, whatever its roles.
  [[nodiscard]] bool relays_for(const node_id& node) const { return relays_ || node == self_.id(); }
  [[nodiscard]] const guest* held(const node_id& node) const;
  [[nodiscard]] stream_ending may_open(const guest& g, connection_id from, const node_id& to);
  [[nodiscard]] static counted_stream statement_of(const node_id& relay, const stream& s,
                                                   std::size_t sender);
  /// The stream and which of its ends `from` is.
  [[nodiscard]] std::optional<std::pair<stream_number, std::size_t>>
  find(connection_id from, std::uint32_t number) const;
  /// False: another stream of which something was counted had it. Of one session each part is paid
  /// once (`carried_part`).
  [[nodiscard]] bool keep_session(const std::array<std::uint8_t, 16>& session);
  void bill(const stream& s, std::size_t sender, std::uint64_t part);
  void grant(stream& s, std::size_t sender, time_point now, effects& out);
  /// Tells both ends but `but`.
  void end(stream_number number, stream_ending why, std::optional<connection_id> but,
           time_point now, effects& out);
  void put_out(connection_id guest, std::string reason, time_point now, effects& out);
  void forget(connection_id guest, time_point now, effects& out);
  [[nodiscard]] key_use& use_of(const node_id& key, time_point now);

  const secret_key& self_;
  const bool relays_;
  std::map<connection_id, guest> guests_;
  std::map<node_id, connection_id> held_;
  std::map<std::pair<std::uint64_t, node_id>, open_meeting>
      meetings_; ///< by nonce and who is asked
  std::map<stream_number, stream> streams_;
  std::map<std::pair<connection_id, std::uint32_t>, stream_number> numbers_;
  std::map<node_id, key_use> uses_;
  std::deque<carried_part> bills_;
  std::set<std::array<std::uint8_t, 16>> sessions_; ///< of streams of which something was counted
  std::deque<std::array<std::uint8_t, 16>> sessions_by_age_;
  stream_number last_stream_{0};
  std::uint64_t passed_bytes_{0};
};

} // namespace ovir::actors
