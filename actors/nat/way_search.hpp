#pragma once

#include "actors/nat/nat_message.hpp"
#include "messages/limits/nat.hpp"
#include "messages/node_id.hpp"

#include <chrono>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// How a node was reached.
enum class way_kind : std::uint8_t {
  direct,  ///< at its address
  met,     ///< both dialled each other at the same time
  relayed, ///< through a relay
};

struct known_way {
  way_kind kind{way_kind::direct};
  node_id helper{}; ///< unless direct
  friend bool operator==(const known_way&, const known_way&) = default;
};

/// What a search wants done.
struct way_step {
  enum class action : std::uint8_t {
    dial,      ///< connect to `address`; empty: where the node is said to be
    drop_dial, ///< end what `dial` began
    ask,       ///< ask `helper` about the node
    meet,      ///< both nodes dial each other, by the help of `helper`
    open,      ///< open a stream to the node at `helper`
    fail,      ///< there is no way, for `reason`
  };
  action what{action::fail};
  node_id helper{};
  std::string address{};
  error reason{};
  friend bool operator==(const way_step&, const way_step&) = default;
};

/// How one connection to a node behind a router comes about: directly; else at an address that the
/// node's router maps; else by dialling each other at the same time; else through a relay. Helpers
/// are asked once the direct way takes longer than limits::direct_head_start or fails. What they
/// answer decides in which order ways are tried and nothing else: the handshake of the link shows
/// who is there. One thing is under way at a time, beside a direct dial. Pure; times are handed in.
class way_search {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using steps = std::vector<way_step>;

  struct settings {
    std::vector<node_id> helpers;     ///< who may know of the node; asked in this order
    bool meets{true};                 ///< whether dialling each other can succeed
    std::optional<known_way> known{}; ///< that worked before; tried first
  };

  explicit way_search(settings how) : how_(std::move(how)) {}

  [[nodiscard]] steps begin(time_point now);
  /// What `dial` began has failed.
  [[nodiscard]] steps dial_failed(const error& reason, time_point now);
  [[nodiscard]] steps answered(const node_id& helper, const helper_answer& answer, time_point now);
  /// It cannot be asked, or is gone: also for a meeting or stream under way there.
  [[nodiscard]] steps helper_lost(const node_id& helper, time_point now);
  /// What `meet` or `open` began has failed, at any point up to the link's admission.
  [[nodiscard]] steps way_failed(const error& reason, time_point now);
  /// What `meet` or `open` began has become a connection, whose admission is under way.
  void carried(time_point now);
  [[nodiscard]] steps tick(time_point now);

  /// The way that is tried: what to remember when the connection stands.
  [[nodiscard]] known_way way() const;
  [[nodiscard]] bool is_over() const noexcept { return phase_ == phase::over; }

private:
  enum class phase : std::uint8_t {
    direct,  ///< nothing but the dial
    asking,  ///< helpers are asked; the dial may be under way
    waiting, ///< they have answered; the dial is to end first
    told,    ///< a mapped address is dialled
    meeting,
    opening,
    over,
  };
  struct candidate {
    node_id helper;
    helper_answer answer;
  };

  void ask(time_point now, steps& out);
  void choose(time_point now, steps& out);
  /// To the next way, in the order of the class.
  void go_on(time_point now, steps& out);
  void give_up(steps& out);
  [[nodiscard]] bool dial_may_succeed() const;

  settings how_;
  phase phase_{phase::direct};
  bool dialling_{false};
  bool asked_{false};
  std::set<node_id> unanswered_;
  std::vector<candidate> candidates_;
  std::deque<std::string> addresses_; ///< told and not tried yet
  bool met_{false};
  std::deque<node_id> relays_; ///< not tried yet
  node_id helper_{};           ///< of the meeting or stream under way
  time_point until_{};         ///< of the phase, except `direct` and `waiting`
  time_point begun_{};
  error last_{errc::peer_lost, "no way leads to the node"};
};

} // namespace ovir::actors
