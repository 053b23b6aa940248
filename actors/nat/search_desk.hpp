#pragma once

#include "actors/link/network.hpp"
#include "actors/link/udp_door.hpp"
#include "actors/nat/meeting_point.hpp"
#include "actors/nat/punch_desk.hpp"
#include "actors/nat/stream_pump.hpp"
#include "actors/nat/way_search.hpp"
#include "actors/runtime/allowance.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// The searches of a node for ways to others, and its ends of meetings and relayed streams, also of
/// those that others begin. Everything runs on the thread of the context, and what it calls does
/// not call back at once.
class search_desk {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// `wanted` names a connection that is looked for.
  struct calls {
    std::function<void(connection_id wanted, const std::string& address)> dial;
    std::function<void(connection_id wanted)> drop_dial;
    std::function<void(connection_id wanted, ready_stream)> carry; ///< its link goes over this
    std::function<void(connection_id wanted, const error&)> failed;
    std::function<void(ready_stream)> accept; ///< someone else's link comes over this
    std::function<void(const node_id& helper, nat_message)> say;
    std::function<std::string(const node_id& helper)> address_of;
    /// A further connection to a helper, for one meeting.
    std::function<connection_id(ready_stream, const node_id& helper)> link;
    std::function<void(connection_id, const nat_message&)> say_on;
    std::function<void(connection_id, const error&)> close;
    std::function<bool(const node_id&)> is_linked;
    std::function<nat_mapping()> mapping;                 ///< of this node's router
    bool meets{true};                                     ///< this node asks others to meet it
    std::shared_ptr<udp_door> udp{};                      ///< of its QUIC links; may be null
    std::function<std::optional<std::string>()> mapped{}; ///< where its router leads a port here
  };

  search_desk(boost::asio::io_context& context, const secret_key& self, calls to)
      : context_(context), self_(self), calls_(std::move(to)), punches_(punch_calls()) {}
  ~search_desk();
  search_desk(const search_desk&) = delete;
  search_desk& operator=(const search_desk&) = delete;

  void begin(connection_id wanted, channel kind, const node_id& node, std::vector<node_id> helpers,
             time_point now);
  /// What `dial` began has failed; what `carry` began; and what is wanted no longer.
  void dial_failed(connection_id wanted, const error& reason, time_point now);
  void carry_failed(connection_id wanted, const error& reason, time_point now);
  void cancel(connection_id wanted);
  /// It stands.
  void connected(connection_id wanted, time_point now);

  /// A knock came to the UDP socket; a link over QUIC did not come about, and one did, instead of
  /// what is wanted.
  void knocked(const std::string& from, const punch_token& token, time_point now) {
    punches_.heard(from, token, now);
  }
  void punch_failed(connection_id wanted, const error& reason);
  void punched(connection_id wanted, time_point now);

  /// What a helper says on this node's own connection to it.
  void heard(const node_id& helper, const nat_message& message, time_point now);
  void helper_lost(const node_id& helper, time_point now);
  /// Events of a connection that `link` began; false: it is another's.
  [[nodiscard]] bool heard_on(connection_id connection, const nat_message& message, time_point now);
  [[nodiscard]] bool closed(connection_id connection, const error& reason, time_point now);
  void tick(time_point now);

  /// Nodes with a stream through a third one.
  [[nodiscard]] std::vector<node_id> relayed() const;
  [[nodiscard]] std::size_t searches() const noexcept { return searches_.size(); }

private:
  struct search {
    channel kind{channel::control};
    node_id node;
    std::uint64_t nonce{0}; ///< of its questions
    way_search ways;
  };
  struct meeting_end {
    std::optional<connection_id> wanted{}; ///< none: another node asked for it
    node_id helper{};
    node_id node{};
    std::uint64_t nonce{0};
    std::shared_ptr<meeting_point> point{};
    std::optional<connection_id> connection{}; ///< to the helper
    std::string own_seen{};
    bool own_udp_seen{false};
    bool said{false};                    ///< where this node is, to the other one
    std::vector<std::string> told{};     ///< by who asked
    std::vector<std::string> told_udp{}; ///< likewise
    std::optional<ready_stream> held{};  ///< opened over TCP, while QUIC may come about
    bool tcp_over{false};
  };
  struct stream {
    node_id node{};
    std::optional<connection_id> wanted{}; ///< until it is taken
    std::array<std::uint8_t, 16> session{};
    std::shared_ptr<stream_pump> pump{}; ///< once it is taken
  };
  using stream_key = std::pair<node_id, std::uint32_t>; ///< helper and number

  void perform(connection_id wanted, const way_search::steps& steps, time_point now);
  void meet(meeting_end fresh);
  void meet_failed(std::uint64_t number, const error& reason);
  void met(std::uint64_t number, ready_stream over);
  void drop_meeting(std::uint64_t number, std::string_view reason);
  void seen_at(std::uint64_t number, meeting_end& m, const address_seen& seen, time_point now);
  void say_where(std::uint64_t number, time_point now);
  void dial_both(std::uint64_t number, meeting_end& m, time_point now);
  void use_held(std::uint64_t number);
  [[nodiscard]] punch_desk::calls punch_calls();
  void asked_to_meet(const node_id& helper, const meeting& m, time_point now);
  void open(connection_id wanted, const node_id& node, const node_id& helper);
  void offered(const node_id& helper, const stream_open& m);
  void taken(const stream_key& key, stream& s);
  [[nodiscard]] result<ready_stream> begin_pump(const stream_key& key, stream& s);
  void ended(const stream_key& key, const error& reason, time_point now);
  [[nodiscard]] std::map<std::uint64_t, meeting_end>::iterator meeting_of(connection_id connection);

  boost::asio::io_context& context_;
  const secret_key& self_;
  calls calls_;
  std::map<connection_id, search> searches_;
  std::map<std::uint64_t, meeting_end> meetings_;
  punch_desk punches_;
  std::map<stream_key, stream> streams_;
  std::map<node_id, std::uint32_t> next_stream_;
  std::map<node_id, std::pair<known_way, time_point>> ways_; ///< that worked, and when
  std::map<node_id, allowance> askers_;
  std::uint64_t last_meeting_{0};
};

} // namespace ovir::actors
