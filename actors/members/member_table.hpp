#pragma once

#include "actors/link/dial_budget.hpp"
#include "actors/members/advert.hpp"
#include "actors/members/gossip_format.hpp"
#include "actors/members/gossip_queue.hpp"
#include "actors/members/round_trips.hpp"
#include "actors/members/stranger_shares.hpp"
#include "actors/runtime/allowance.hpp"
#include "messages/limits/crowd.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"
#include "messages/signing.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <variant>
#include <vector>

namespace ovir::actors {

enum class member_health : std::uint8_t {
  alive = 1,
  suspect = 2, ///< did not answer, directly or through others; still counted, but not planned with
  dead = 3,    ///< did not refute the suspicion in time, or lost its links and no member reaches it
  left = 4,    ///< said goodbye
};

struct member {
  node_id node;
  std::uint64_t incarnation{0}; ///< only the node itself raises it
  member_health health{member_health::alive};
  node_advert advert;
  std::optional<std::chrono::microseconds> rtt; ///< measured by us: what is usual
};

/// Shared by what shows an advert, what passes it on, and in simulations by many nodes.
using kept_advert = std::shared_ptr<const signed_advert>;

/// Times are handed in; nothing here reads a clock.
struct membership_options {
  std::chrono::milliseconds probe_interval{100};  ///< one probe of one member each
  std::chrono::milliseconds probe_timeout{250};   ///< then others are asked to probe
  std::chrono::milliseconds suspect_timeout{600}; ///< then it is dead
  std::uint32_t indirect_probes{3};
  std::chrono::seconds forget_dead{600}; ///< how long a dead name is remembered, against ghosts
  std::size_t full_mesh_max{limits::mesh_members_max}; ///< above, nodes keep links to a few
  std::size_t lists_above{limits::lists_above}; ///< then news goes by lists (member_latest.hpp)
  std::size_t members_max{limits::crowd_members_max};
  /// Whether a key may be here without leave, of an open cluster. Empty: none may.
  std::function<bool(const node_id&)> stranger{};
  /// Where many nodes of one process keep one copy of an advert. Empty: each has its own.
  std::function<kept_advert(const signed_advert&)> keep{};
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
struct part_link { ///< close it, unless somebody uses it; the peer was told
  node_id from;
};
struct member_changed { ///< new, other health, or another advert
  member now;
  bool health_changed{false};
};
/// A member tells who was let in by an invitation, or that one is revoked.
struct heard_notices {
  node_id from;
  std::vector<std::vector<std::byte>> tokens;
};
using membership_effect =
    std::variant<send_gossip, want_link, part_link, member_changed, heard_notices>;

using membership_time = std::chrono::steady_clock::time_point;
using membership_effects = std::vector<membership_effect>;

enum class member_standing : std::uint8_t {
  heard_of, ///< signed by it, but it was not heard from itself since: not (yet) a member
  alive,
  suspect,
  dead,
  left,
};
/// One question that is open.
struct open_probe {
  std::uint64_t nonce{0};
  membership_time begun;
  membership_time deadline;
  bool others_asked{false};
  bool measures{true}; ///< its answer tells a round trip
};
/// What people see of a node, but for round trips.
struct shown_member {
  node_id node;
  std::uint64_t incarnation{0};
  kept_advert advert;
  member_health health{member_health::alive};
};
/// What others said of a node, and what it may still make us do. Few entries have one at a time.
struct heard_words {
  node_id introducer{}; ///< who told of it, for as long as it is no member
  std::map<node_id, membership_time> accused_by{}; ///< at this incarnation
  std::vector<node_id> vouchers{}; ///< neighbours that count it at this incarnation; in a crowd
  allowance adverts;
  allowance accusations; ///< by it
};
/// One of thousands: what most of them lack is behind pointers.
struct member_entry {
  member_standing where{member_standing::heard_of};
  bool was_member{false}; ///< people see it; else it is hidden until it has a link with us
  bool doomed{false};     ///< `death` counts; in a crowd alone
  shown_member shown;
  kept_advert newest;
  std::unique_ptr<round_trips> measured;        ///< by us
  std::unique_ptr<member> view;                 ///< as it was asked for last
  std::unique_ptr<signed_suspicion> accusation; ///< our own, while suspect or dead
  std::unique_ptr<signed_farewell> farewell;
  std::unique_ptr<open_probe> open;
  std::unique_ptr<heard_words> words; ///< always of one that never was a member
  membership_time probed;             ///< when it was last
  membership_time since;              ///< of the standing
  membership_time death;              ///< of a suspect
  membership_time contact;            ///< when to look for it next
  std::chrono::milliseconds wait{0};  ///< then, until the next time

  [[nodiscard]] member to_member() const {
    return {shown.node, shown.incarnation, shown.health, shown.advert->advert,
            measured ? measured->usual() : std::nullopt};
  }
  [[nodiscard]] std::size_t accusers() const noexcept {
    return words == nullptr ? 0 : words->accused_by.size();
  }
  /// The highest incarnation it signed for, whether or not people see it yet.
  [[nodiscard]] std::uint64_t reached() const noexcept {
    return farewell && farewell->incarnation > newest->incarnation ? farewell->incarnation
                                                                   : newest->incarnation;
  }
};
struct gossip_link {
  bool up{false};
  bool forged{false}; ///< sent a signature that is false: honest nodes pass on what they checked
  allowance traffic;
  allowance answers;      ///< updates for its summaries: what it grants us, less what else we say
  bool ours{false};       ///< this node opened it
  bool parted{false};     ///< its end says nothing of the peer
  bool left{false};       ///< the peer parted: what it says afterwards comes over another link
  membership_time used{}; ///< by whoever needs it
  std::uint64_t fresh{0}; ///< the next of crowd_state::fresh to tell
  std::size_t claims{0};  ///< of it, since the last sweep
  address_prefix site{};  ///< where it was seen, /24 or /48
};
/// Who told of those that this node did not find by itself.
struct told_members {
  std::map<node_id, std::size_t> introduced{}; ///< that were never members, by who told of them
  std::set<node_id> unreached{};               ///< heard_of
  std::set<node_id> gone{};                    ///< dead or left
  stranger_shares strangers{};                 ///< in an open cluster, also once they are members
};
struct probe_relay {
  std::uint64_t nonce{0};
  node_id target;
  node_id requester;
};

/// A node that neighbours count before its advert is here.
struct early_claim {
  std::uint64_t incarnation{0};
  std::vector<node_id> vouchers;
};
/// When to look at a node, at the latest; an older time of the same node is without effect.
struct due_node {
  membership_time at;
  node_id node;
  friend bool operator<(const due_node& a, const due_node& b) {
    return a.at != b.at ? a.at > b.at : a.node > b.node;
  }
};
/// An advert or a farewell that came lately.
struct latest_life {
  node_id node;
  std::uint64_t incarnation{0};
  bool believed{false}; ///< counted, or gone by its own word
  membership_time at;
};
/// What was said lately against a node at this incarnation.
struct latest_case {
  node_id node;
  std::uint64_t incarnation{0};
  bool doomed{false}; ///< these are enough
  bool closed{false}; ///< nothing more is wanted: it is no member, or answered this node
  std::vector<signed_suspicion> words; ///< checked; at most limits::accusers_min, the newest
  membership_time at;                  ///< of its last change
};
/// What a node of a large crowd heard lately, and tells its neighbours (`member_latest.hpp`).
struct latest_state {
  std::vector<latest_life> lives;
  std::vector<latest_case> cases;
  membership_time next{};
  std::uint64_t salt{0}; ///< of the last digests sent
  /// Neighbours that sent lists, limits::vouchers_min at most: a newcomer's crowd is a large one.
  std::vector<node_id> listers;
  std::size_t walked{0};          ///< buckets that a newcomer asked for
  membership_time learns_until{}; ///< it is a newcomer, or lacked much just now
  node_id asked;                  ///< the neighbour that a newcomer asked last
  membership_time next_doubt{};
};
/// What a node above a full mesh keeps in mind (`member_crowd.hpp`).
struct crowd_state {
  bool on{false};
  std::map<node_id, membership_time> drawn;   ///< neighbours it chose, since when
  std::map<node_id, membership_time> looking; ///< short links that are wanted, until when
  std::priority_queue<due_node> due;
  std::vector<node_id> alive;    ///< shuffled, next at the back
  std::vector<node_id> trusted;  ///< likewise, of those that have leave
  std::vector<node_id> lost;     ///< likewise
  std::vector<known_node> fresh; ///< counted lately, oldest first
  std::uint64_t fresh_first{0};  ///< the number of its first
  std::map<node_id, early_claim> claims;
  std::set<node_id> accusers; ///< of this node, at this incarnation
  latest_state latest;
  node_id pinged;
  std::uint32_t lost_hopes{0}; ///< looks at the dead to make soon
  std::uint32_t met{0};        ///< links since the crowd began
  bool advert_waits{false};    ///< `self` says more than `own`
  allowance urgent{limits::urgent_burst, 1, limits::urgent_interval};
  membership_time doubts_paid{}; ///< refutations to single accusers are paid for until then
  membership_time next_advert{};
  membership_time next_ping{};
  membership_time next_look{};
  membership_time next_exchange{};
  membership_time next_lost{};
  membership_time next_redraw{};
  membership_time next_sweep{};
};

/// Salted, so that nobody makes keys that share a place.
struct node_hash {
  std::uint64_t salt{0};
  [[nodiscard]] std::size_t operator()(const node_id& node) const noexcept {
    std::uint64_t head = 0;
    std::memcpy(&head, node.key.data(), sizeof head);
    head = (head ^ salt) * 0x9e3779b97f4a7c15U;
    return static_cast<std::size_t>(head ^ (head >> 32U));
  }
};

/// Finds an entry by its node.
struct entry_hash {
  using is_transparent = void;
  node_hash hash;
  [[nodiscard]] std::size_t operator()(const node_id& node) const noexcept { return hash(node); }
  [[nodiscard]] std::size_t operator()(const member_entry* e) const noexcept {
    return hash(e->shown.node);
  }
};
struct entry_equal {
  using is_transparent = void;
  [[nodiscard]] bool operator()(const member_entry* a, const member_entry* b) const noexcept {
    return a == b;
  }
  [[nodiscard]] bool operator()(const node_id& a, const member_entry* b) const noexcept {
    return a == b->shown.node;
  }
  [[nodiscard]] bool operator()(const member_entry* a, const node_id& b) const noexcept {
    return a->shown.node == b;
  }
};

/// What a node knows of the others and of itself, and what probes (`member_probes.hpp`) and updates
/// (`member_updates.hpp`) do with it.
struct member_table {
  using time_point = membership_time;
  using effects = membership_effects;

  member_table(const secret_key& signing_key, node_advert advert, std::uint64_t incarnation,
               membership_options times, std::uint64_t seed,
               std::function<std::optional<role_set>(const node_id&)> may,
               std::function<bool(const signed_update&)> check)
      : key(signing_key), options(times), allowed(std::move(may)), genuine(std::move(check)),
        own(sign_advert(signing_key, incarnation, std::move(advert))), random_state(seed),
        places(0, entry_hash{node_hash{seed}}), dials(times.probe_timeout) {
    self.node = key.id();
    self.incarnation = incarnation;
    self.advert = own.advert;
  }

  [[nodiscard]] bool crowded() const noexcept { return crowd.on; }
  [[nodiscard]] std::chrono::milliseconds intervals(std::uint32_t count) const {
    return count * options.probe_interval;
  }
  [[nodiscard]] static bool counts(member_standing where) noexcept {
    return where == member_standing::alive || where == member_standing::suspect;
  }
  /// Changes the standing. `counted` and `introduced` follow, as in the next two.
  void move_to(member_entry& e, member_standing where, time_point now);
  /// Calls `act` with each entry of these buckets, in order of name.
  template <class Act>
  void each_in(const bucket_set& buckets, Act act) {
    for (std::size_t b = 0; b < limits::gossip_buckets; ++b) {
      if (!buckets[b]) {
        continue;
      }
      node_id first;
      first.key[0] = static_cast<std::uint8_t>(b);
      for (auto it = entries.lower_bound(first); it != entries.end() && bucket_of(it->first) == b;
           ++it) {
        act(it->second);
      }
    }
  }
  member_entry& add(const node_id& node, member_entry fresh);
  std::map<node_id, member_entry>::iterator erase(std::map<node_id, member_entry>::iterator at);
  void now_member(member_entry& e);
  /// `told.unreached` and `told.gone` follow the standing.
  void index(const member_entry& e);
  [[nodiscard]] kept_advert keep(const signed_advert& a) const {
    return options.keep ? options.keep(a) : std::make_shared<const signed_advert>(a);
  }
  [[nodiscard]] heard_words& words(member_entry& e) const;
  /// If they are as at first.
  void forget_words(member_entry& e, time_point now) const;
  /// Whether news goes by lists.
  [[nodiscard]] bool lists() const noexcept {
    return crowd.on && (counted + 1 > options.lists_above ||
                        crowd.latest.listers.size() >= limits::vouchers_min);
  }
  /// Whether it is told what others have known for long.
  [[nodiscard]] bool learns(time_point now) const noexcept {
    return crowd.on && now < crowd.latest.learns_until;
  }
  /// In a large crowd longer, as there are more to share the work.
  [[nodiscard]] std::chrono::milliseconds thinned(std::uint32_t count) const {
    const std::size_t times =
        lists() ? std::max<std::size_t>(1, (counted + 1) / limits::thinned_each) : 1;
    return intervals(count) * static_cast<std::int64_t>(times);
  }
  /// Accusations and refutations both cross the members in it.
  [[nodiscard]] std::chrono::milliseconds suspicion_time() const {
    return static_cast<int>(std::bit_width(counted + 1)) * options.suspect_timeout;
  }
  [[nodiscard]] bool is_known_to_all(const signed_update& update, time_point now) const;
  /// Of who was found, refuted or left, or of an accusation; to those that do not know.
  void tell(const signed_update& update, time_point now, std::size_t suspicions = 1);
  /// Our accusation of a suspect, or of a dead node; null where there is none.
  const signed_suspicion* word_against(member_entry& e) const;

  void advance(time_point now);
  [[nodiscard]] std::uint64_t random() noexcept;
  [[nodiscard]] member_entry* look_up(const node_id& node) const;
  [[nodiscard]] gossip_link* link_of(const node_id& peer);
  [[nodiscard]] bool linked(const node_id& peer) const;
  [[nodiscard]] std::size_t alive_count() const;
  [[nodiscard]] std::vector<node_id> some_linked(std::size_t count, const node_id& but_not);
  void send(const node_id& to, gossip_body body, effects& out,
            std::vector<signed_update> first = {});
  void send_all(const node_id& to, gossip_body body, std::vector<signed_update> updates,
                effects& out) const;
  void show(member_entry& e, bool health_changed, effects& out);
  void raise(node_advert advert, time_point now, effects& out);
  void refute_if_due(time_point now, effects& out);
  void found_alive(member_entry& e, time_point now, effects& out);
  [[nodiscard]] std::size_t introduced_by(const node_id& peer) const;
  void make_suspect(member_entry& e, time_point now, effects& out);
  void bury(member_entry& e, time_point now, effects& out);
  void look_for_soon(member_entry& e, time_point now) const;
  [[nodiscard]] bool may_be(const node_id& node, role_set roles) const;
  [[nodiscard]] bool is_stranger(const node_id& node) const {
    return options.stranger && options.stranger(node);
  }
  /// Of a stranger that `from` tells of, and says that it is at `address`.
  [[nodiscard]] stranger_origin origin_of(const node_id& node, const node_id& from,
                                          std::string_view address) const;
  /// Where a stranger is; none of a node that has leave.
  [[nodiscard]] std::optional<address_prefix> site_of_stranger(const node_id& node) const;
  /// Whether one of them has the weight of this one: of the strangers of one site one speaks.
  template <class Nodes>
  [[nodiscard]] bool speaks_for(const Nodes& others, const node_id& node) const {
    const auto site = site_of_stranger(node);
    return site && std::any_of(others.begin(), others.end(), [&](const node_id& other) {
             return other != node && site_of_stranger(other) == site;
           });
  }
  /// What is known of these buckets, in as many messages as it takes; at least one.
  [[nodiscard]] std::vector<summary> summarize(bool answer_wanted, const bucket_set& buckets);
  void send_summary(const node_id& to, bool answer_wanted, const bucket_set& buckets, effects& out,
                    std::vector<signed_update> first = {});
  [[nodiscard]] std::vector<known_node> fresh_for(const node_id& to);

  const secret_key& key;
  membership_options options;
  std::function<std::optional<role_set>(const node_id&)> allowed;
  std::function<bool(const signed_update&)> genuine;
  member self;
  signed_advert own;
  std::optional<signed_farewell> goodbye;
  bool accused{false};                ///< at this incarnation
  std::uint64_t incarnation_floor{0}; ///< of an earlier life
  std::vector<node_id> doubters;      ///< who told us so: they want the refutation
  std::optional<time_point> raised;
  std::uint64_t random_state;

  std::map<node_id, member_entry> entries;                           ///< without this node
  std::unordered_set<member_entry*, entry_hash, entry_equal> places; ///< of these
  std::size_t counted{0};                                            ///< of them, alive or suspect
  told_members told;
  std::map<node_id, gossip_link> links;
  std::vector<probe_relay> relays; ///< oldest first
  gossip_queue queue;
  dial_budget dials;

  std::optional<time_point> last_event;
  time_point next_probe{};
  time_point next_exchange{};
  std::vector<node_id> probe_round; ///< of this round, next at the back
  crowd_state crowd;
};

} // namespace ovir::actors
