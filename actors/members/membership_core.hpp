#pragma once

#include "actors/members/member_table.hpp"
#include "messages/result.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace ovir::actors {

/// Who is there: SWIM (Das, Gupta, Motivala 2002) with suspicion and incarnation numbers, over
/// links instead of datagrams. Every update is signed by the node that makes it: an advert by its
/// subject, a suspicion by the accuser; a forged, replayed or outdated one changes nothing. A dead
/// node returns only with a higher incarnation, which only it can sign. A state machine: events and
/// time in, effects out; random choices come from `seed`. Members are at most
/// limits::crowd_members_max; an update about a node that is not allowed here is dropped. Above
/// limits::mesh_members_max members a node keeps links to a few: member_crowd.hpp says what is then
/// different from the following.
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
/// are bounded by actors/link/dial_budget.hpp. In an open cluster stranger_shares.hpp bounds the
/// part of the table that keys without leave fill, and those of one site have one voice.
class membership_core {
public:
  using time_point = member_table::time_point;
  using effects = member_table::effects;

  /// `key` outlives the core. `incarnation`: higher than any this node used before (a wall clock's
  /// milliseconds, kept in its state). `allowed`: whether a node may be a member, and as what.
  /// `genuine`: `is_genuine`, or what remembers its results.
  /// Precondition: `check_advert` passes for `self`, here and in `advertise`.
  membership_core(
      const secret_key& key, node_advert self, std::uint64_t incarnation,
      membership_options options, std::uint64_t seed,
      std::function<std::optional<role_set>(const node_id&)> allowed,
      std::function<bool(const signed_update&)> genuine = [](const signed_update& update) {
        return is_genuine(update);
      });

  /// For simulations: these are members from the beginning, as if this node had been among them for
  /// long. None is linked. Precondition: nothing happened yet.
  void settle_among(std::span<const kept_advert> others, time_point now);
  /// Call it at least every `probe_interval`, better four times as often. A gap of more than two
  /// intervals between events counts as this node's own halt, not as the others' silence.
  [[nodiscard]] effects on_tick(time_point now);
  /// Gossip that came over the link of `from`. `malformed` or `over_limit` when it is none: the
  /// shell closes the link.
  [[nodiscard]] result<effects> on_gossip(const node_id& from, std::span<const std::byte> bytes,
                                          time_point now);
  /// A control link to a member is up: exchanges what both know. `ours`: this node opened it.
  /// `seen`: where the peer is.
  [[nodiscard]] effects on_link_up(const node_id& peer, time_point now, bool ours = false,
                                   const address_prefix& seen = {});
  /// Somebody here needs the link of this peer, and has just used it.
  void on_link_used(const node_id& peer, time_point now);
  /// It is gone: suspect at once, others are asked; a process that is dead cannot answer them.
  [[nodiscard]] effects on_link_down(const node_id& peer, time_point now);
  /// This node's advert changed. Its incarnation grows.
  [[nodiscard]] effects advertise(node_advert self, time_point now);
  /// Says goodbye to everyone.
  [[nodiscard]] effects leave(time_point now);

  /// Every member known, this node included, in order of name.
  [[nodiscard]] std::vector<member> members() const;
  [[nodiscard]] const member* find(const node_id& node) const;
  /// Of `find`, without the rest.
  [[nodiscard]] std::optional<member_health> health(const node_id& node) const;
  [[nodiscard]] const node_id& self() const noexcept;
  /// Whether there are more members than are all linked (`member_crowd.hpp`).
  [[nodiscard]] bool crowded() const noexcept { return s_.crowded(); }
  /// Those that this node drew as its neighbours; none unless `crowded`.
  [[nodiscard]] std::vector<node_id> drawn() const;
  /// Of those in the table that have no leave, by where they are and who told of them.
  [[nodiscard]] const stranger_shares& strangers() const noexcept { return s_.told.strangers; }

private:
  member_table s_;
};

} // namespace ovir::actors
