#pragma once

#include "actors/link/dial_budget.hpp"
#include "actors/members/advert.hpp"
#include "actors/members/gossip_format.hpp"
#include "actors/members/gossip_queue.hpp"
#include "actors/runtime/allowance.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace ovir::actors {

enum class member_health : std::uint8_t {
  alive = 1,
  suspect = 2, ///< did not answer, directly or through others; still counted, but not planned with
  dead = 3, ///< the suspicion was not refuted in time, or its links are gone and nobody reaches it
  left = 4, ///< said goodbye
};

struct member {
  node_id node;
  std::uint64_t incarnation{0}; ///< only the node itself raises it
  member_health health{member_health::alive};
  node_advert advert;
  std::optional<std::chrono::microseconds> rtt; ///< measured by us, smoothed
};

/// Times are handed in; nothing here reads a clock.
struct membership_options {
  std::chrono::milliseconds probe_interval{100};  ///< one probe of one member each
  std::chrono::milliseconds probe_timeout{250};   ///< then others are asked to probe
  std::chrono::milliseconds suspect_timeout{600}; ///< then it is dead
  std::uint32_t indirect_probes{3};
  std::chrono::seconds forget_dead{600}; ///< how long a dead name is remembered, against ghosts
};

// What the shell must do.
struct send_gossip { ///< to a member, over the link there is; dropped silently when there is none
  node_id to;
  std::vector<std::byte> bytes;
};
struct want_link { ///< a member without a link: connect to it
  node_id to;
  std::string address;
};
struct member_changed { ///< new, other health, or another advert
  member now;
  bool health_changed{false};
};
using membership_effect = std::variant<send_gossip, want_link, member_changed>;

/// Who is there: SWIM (Das, Gupta, Motivala 2002) with suspicion and incarnation numbers, over
/// links instead of datagrams. Every update is signed by the node that makes it: an advert by its
/// subject, a suspicion by the accuser; a forged, replayed or outdated one changes nothing. A dead
/// node returns only with a higher incarnation, which only it can sign. A state machine: events and
/// time in, effects out; random choices come from `seed`. Members are at most
/// limits::members_max; an update about a node that is not allowed here is dropped.
///
/// Where this differs from the paper: others' words are reasons to look, never to believe. A node
/// is suspected and removed by each member on its own evidence (a lost link, or no answer to itself
/// nor through others, whose relayed answers the probed node signs); an accusation only makes it
/// probe at once. A node is no member until it has had a link with this node: relayed answers keep
/// members, they make none. So neither one liar nor an old advert, played again, removes or revives
/// anyone. Messages are docs/formats/gossip.md.
///
/// What is only told is bounded by who tells it. A peer vouches for limits::introductions_max nodes
/// that this one has not reached; they are not told on, count for nothing, make room for whoever
/// has a link, and are forgotten after limits::unreached_lifetime. Connections because of gossip
/// are bounded by actors/link/dial_budget.hpp.
class membership_core {
public:
  using time_point = std::chrono::steady_clock::time_point;
  using effects = std::vector<membership_effect>;

  /// `key` outlives the core. `incarnation`: higher than any this node used before (a wall clock's
  /// milliseconds, kept in its state). `allowed`: whether a node may be a member, and as what.
  /// Precondition: `check_advert` passes for `self`, here and in `advertise`.
  membership_core(const secret_key& key, node_advert self, std::uint64_t incarnation,
                  membership_options options, std::uint64_t seed,
                  std::function<std::optional<role_set>(const node_id&)> allowed);

  /// Call it at least every `probe_interval`, better four times as often. A gap of more than two
  /// intervals between events counts as this node's own halt, not as the others' silence.
  [[nodiscard]] effects on_tick(time_point now);
  /// Gossip that came over the link of `from`. `malformed` or `over_limit` when it is none: the
  /// shell closes the link.
  [[nodiscard]] result<effects> on_gossip(const node_id& from, std::span<const std::byte> bytes,
                                          time_point now);
  /// A control link to a member is up: exchanges what both know.
  [[nodiscard]] effects on_link_up(const node_id& peer, time_point now);
  /// It is gone: suspect at once, others are asked; a process that is dead cannot answer them.
  [[nodiscard]] effects on_link_down(const node_id& peer, time_point now);
  /// This node's advert changed. Its incarnation grows.
  [[nodiscard]] effects advertise(node_advert self, time_point now);
  /// Says goodbye to everyone.
  [[nodiscard]] effects leave(time_point now);

  /// Every member known, this node included, in order of name.
  [[nodiscard]] std::vector<member> members() const;
  [[nodiscard]] const member* find(const node_id& node) const;
  [[nodiscard]] const node_id& self() const noexcept;

private:
  enum class standing : std::uint8_t {
    heard_of, ///< signed by it, but it was not heard from itself since: not (yet) a member
    alive,
    suspect,
    dead,
    left,
  };
  /// One question that is open.
  struct probe {
    std::uint64_t nonce{0};
    time_point begun;
    time_point deadline;
    bool others_asked{false};
    bool measures{true}; ///< its answer tells a round trip
  };
  struct entry {
    standing where{standing::heard_of};
    bool was_member{false}; ///< people see it; else it is hidden until it has a link with us
    node_id introducer;     ///< who told of it, for as long as it is no member
    member shown;
    signed_advert newest;
    std::optional<signed_suspicion> accusation; ///< our own, while suspect or dead
    std::optional<signed_farewell> farewell;
    std::optional<probe> open;
    time_point probed;                 ///< when it was last
    time_point since;                  ///< of the standing
    time_point death;                  ///< of a suspect
    time_point contact;                ///< when to look for it next
    std::chrono::milliseconds wait{0}; ///< then, until the next time
    std::map<node_id, time_point> accused_by;
    allowance adverts;
    allowance accusations; ///< by it

    /// The highest incarnation it signed for, whether or not people see it yet.
    [[nodiscard]] std::uint64_t reached() const noexcept {
      return farewell && farewell->incarnation > newest.incarnation ? farewell->incarnation
                                                                    : newest.incarnation;
    }
  };
  struct link {
    bool up{false};
    bool forged{false}; ///< sent a signature that is false: honest nodes pass on what they checked
    allowance traffic;
  };
  struct relay {
    std::uint64_t nonce{0};
    node_id target;
    node_id requester;
  };

  // membership_core.cpp: time, sending, health
  void advance(time_point now);
  [[nodiscard]] std::uint64_t random() noexcept;
  [[nodiscard]] entry* look_up(const node_id& node);
  [[nodiscard]] link* link_of(const node_id& peer);
  [[nodiscard]] bool linked(const node_id& peer) const;
  [[nodiscard]] std::size_t alive_count() const;
  [[nodiscard]] std::vector<node_id> some_linked(std::size_t count, const node_id& but_not);
  void send(const node_id& to, gossip_body body, effects& out,
            std::vector<signed_update> first = {});
  void send_all(const node_id& to, gossip_body body, std::vector<signed_update> updates,
                effects& out) const;
  void show(entry& e, bool health_changed, effects& out);
  void raise(node_advert advert, time_point now, effects& out);
  void refute_if_due(time_point now, effects& out);
  void found_alive(entry& e, time_point now, effects& out);
  [[nodiscard]] std::size_t introduced_by(const node_id& peer) const;
  void make_suspect(entry& e, time_point now, effects& out);
  void bury(entry& e, time_point now, effects& out);
  void look_for_soon(entry& e, time_point now) const;

  // membership_probes.cpp: what happens as time passes
  void begin_probe(entry& e, bool ask_at_once, time_point now, effects& out);
  void ask_others(entry& e, effects& out);
  void check_probes(time_point now, effects& out);
  void probe_suspects(time_point now, effects& out);
  void probe_next(time_point now, effects& out);
  void check_allowed(time_point now, effects& out);
  void spread_news(effects& out);
  void look_for_members(time_point now, effects& out);
  void dial(entry& e, time_point now, effects& out);
  void exchange(effects& out);
  void forget_old(time_point now);

  // membership_updates.cpp: what others say
  void apply(const signed_update& update, const node_id& from, link& by, time_point now,
             effects& out);
  void apply_advert(const signed_advert& a, const node_id& from, link& by, time_point now,
                    effects& out);
  void apply_newer_advert(entry& e, const signed_advert& a, time_point now, effects& out);
  void apply_suspicion(const signed_suspicion& s, const node_id& from, link& by, time_point now,
                       effects& out);
  void be_doubted(const signed_suspicion& s, const node_id& from, link& by, time_point now,
                  effects& out);
  void apply_farewell(const signed_farewell& f, link& by, time_point now, effects& out);
  void hear_of_self(std::uint64_t incarnation, const signed_update& update, link& by,
                    time_point now, effects& out);
  [[nodiscard]] bool checked(const signed_update& update, link& by, time_point now) const;
  [[nodiscard]] bool make_room(const node_id& from, bool here);
  [[nodiscard]] bool may_be(const node_id& node, role_set roles) const;
  void receive(const gossip_body& body, const node_id& from, time_point now, effects& out);
  void receive_life_sign(const life_sign& sign, const node_id& from, time_point now, effects& out);
  void receive_summary(const summary& s, const node_id& from, effects& out);
  [[nodiscard]] summary summarize(bool answer_wanted) const;

  const secret_key& key_;
  membership_options options_;
  std::function<std::optional<role_set>(const node_id&)> allowed_;
  member self_;
  signed_advert own_;
  std::optional<signed_farewell> goodbye_;
  bool accused_{false};                ///< at this incarnation
  std::uint64_t incarnation_floor_{0}; ///< of an earlier life
  std::vector<node_id> doubters_;      ///< who told us so: they want the refutation
  std::optional<time_point> raised_;
  std::uint64_t random_state_;

  std::map<node_id, entry> entries_; ///< without this node
  std::map<node_id, link> links_;
  std::vector<relay> relays_; ///< oldest first
  gossip_queue queue_;
  dial_budget dials_;

  std::optional<time_point> last_event_;
  time_point next_probe_{};
  time_point next_exchange_{};
  std::vector<node_id> probe_order_; ///< of this round, next at the back
};

} // namespace ovir::actors
