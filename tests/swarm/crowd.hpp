#pragma once

#include "actors/members/membership_core.hpp"
#include "tests/swarm/chance.hpp"
#include "tests/swarm/event_queue.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ovir::swarm {

/// What a member with a valid key does besides taking part.
enum class villainy : std::uint8_t {
  none,
  accuses,  ///< everybody, all the time
  replays,  ///< adverts of those that died since
  invents,  ///< members, whose keys it has
  miscounts ///< in summaries, sums and what it says it counts
};

struct crowd_plan {
  std::uint64_t seed{1};
  std::size_t nodes{2'000};
  std::size_t villains{0}; ///< of the nodes, from the first on
  villainy deed{villainy::none};
  double churn_per_minute{0.05}; ///< of the nodes go, and as many come
  std::chrono::seconds calm{30};
  std::chrono::seconds churn{60};
  std::chrono::seconds partition{60};
  std::size_t seeds{16}; ///< nodes that newcomers are told of, up to three each; the first ones
  bool settled{false};   ///< all know each other from the beginning
  bool silent{false};    ///< who goes loses its power, who comes is new, and seeds stay
  bool loads{false};     ///< what nodes say of their load changes all the time
  actors::membership_options times;
};

/// What an observer of a crowd is told of; each may be empty.
struct crowd_watch {
  std::function<void(std::size_t)> came;
  std::function<void(std::size_t)> went;
  std::function<void(std::size_t, std::size_t, actors::member_health)> sees; ///< one another
};
/// What went over one node's links.
struct crowd_traffic {
  std::uint64_t sent{0}; ///< bytes with headers, as below
  std::uint64_t received{0};
  std::uint64_t shaken{0};   ///< bytes of handshakes it sent
  std::uint64_t messages{0}; ///< sent
};

/// What one part of a run cost, and what members believed in it.
struct crowd_phase {
  std::string name;
  double seconds{0};
  double node_seconds{0}; ///< of nodes that ran
  std::uint64_t messages{0};
  std::uint64_t bytes{0}; ///< with headers
  std::uint64_t links{0}; ///< opened
  double processor{0};    ///< seconds of this machine
  double agreed{-1};      ///< seconds from its end until every node knew exactly the living ones
  std::uint64_t views{0}; ///< of one node by another, as sampled
  std::uint64_t missing{0};
  std::uint64_t ghosts{0};
  std::uint64_t suspicions{0}; ///< of honest nodes that ran
  std::uint64_t deaths{0};     ///< likewise
};

/// Many nodes that are nothing but membership and planning: `actors::membership_core` each, over
/// simulated links. Nodes come and go, some misbehave, and a partition divides them and heals. One
/// seed gives the same events.
class node_crowd {
public:
  using core = actors::membership_core;

  explicit node_crowd(const crowd_plan& plan);

  /// All nodes, each at a time of chance.
  void start_all(nanoseconds within);
  /// Likewise, as if they had been a crowd for long.
  void start_settled();
  /// Nodes come and go until it is said that they do not.
  void churn(bool going_on);
  /// Nodes with even and odd numbers do not reach each other.
  void divide(bool apart);
  void pass(nanoseconds span);
  /// What is counted from now on.
  void count_in(crowd_phase* phase) { phase_ = phase; }
  void watch_with(crowd_watch watch) { watch_ = std::move(watch); }
  /// Since the node started, or this was last called with `forget`.
  [[nodiscard]] crowd_traffic traffic(std::size_t i, bool forget = false) {
    return forget ? std::exchange(nodes_[i].traffic, {}) : nodes_[i].traffic;
  }
  [[nodiscard]] std::size_t links(std::size_t i) const { return nodes_[i].linked.size(); }

  [[nodiscard]] nanoseconds now() const noexcept { return now_; }
  /// Nodes that there ever were.
  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }
  [[nodiscard]] bool running(std::size_t i) const { return nodes_[i].membership != nullptr; }
  [[nodiscard]] std::size_t running_now() const;
  [[nodiscard]] bool honest(std::size_t i) const { return !nodes_[i].villain; }
  /// When it died or left.
  [[nodiscard]] nanoseconds gone(std::size_t i) const { return nodes_[i].gone; }
  [[nodiscard]] nanoseconds started(std::size_t i) const { return nodes_[i].started; }
  [[nodiscard]] bool divided(std::size_t i, std::size_t j) const;
  [[nodiscard]] const core& membership(std::size_t i) const { return *nodes_[i].membership; }
  [[nodiscard]] const node_id& id(std::size_t i) const { return nodes_[i].key->id(); }
  /// `size()`: none of them.
  [[nodiscard]] std::size_t index_of(const node_id& id) const;
  /// Of everything that happened.
  [[nodiscard]] std::uint64_t digest() const noexcept { return digest_; }
  [[nodiscard]] const std::vector<std::string>& violations() const noexcept { return violations_; }

private:
  struct node {
    std::unique_ptr<secret_key> key;
    std::unique_ptr<core> membership; ///< null: it does not run
    std::uint64_t life{0};
    std::uint64_t incarnation{0};
    bool villain{false};
    nanoseconds gone{0};
    nanoseconds started{0};
    std::set<std::size_t> linked;
    std::set<std::size_t> dialling;
    crowd_traffic traffic;
  };
  struct wire {
    bool up{false};
    std::uint64_t generation{0};
    nanoseconds last[2]{}; ///< of arrival, for each direction: in order
  };
  using bytes = std::vector<std::byte>;

  void add_node();
  void start(std::size_t i);
  void stop(std::size_t i, bool silent);
  void leave(std::size_t i);
  void come_and_go();
  void misbehave(std::size_t i);
  [[nodiscard]] actors::gossip_message misdeed(std::size_t i);
  void tick(std::size_t i, std::uint64_t life);
  void change_load(std::size_t i, std::uint64_t life);
  void knock(std::size_t i, std::uint64_t life);
  void perform(std::size_t i, const core::effects& effects);
  void watch(std::size_t i, const actors::member_changed& change);
  void connect(std::size_t i, std::size_t j);
  [[nodiscard]] bool has_place(std::size_t i) const;
  void link_up(std::size_t i, std::size_t j);
  void end_link(std::size_t i, std::size_t j);
  void send(std::size_t i, std::size_t j, bytes message);
  void deliver(std::size_t i, std::size_t j, const bytes& message);
  [[nodiscard]] wire& between(std::size_t i, std::size_t j);
  [[nodiscard]] nanoseconds way(std::size_t i, std::size_t j) const;
  bool genuine(const actors::signed_update& update);
  actors::kept_advert keep(const actors::signed_advert& advert);
  [[nodiscard]] core::time_point time() const;
  void at(nanoseconds when, std::function<void()> act) { queue_.at(when, std::move(act)); }
  void note(std::uint64_t what, std::uint64_t who, std::uint64_t detail);
  void expect(bool right, const std::string& what);

  crowd_plan plan_;
  chance draws_;
  event_queue queue_;
  nanoseconds now_{0};
  std::vector<node> nodes_;
  std::unordered_map<std::uint64_t, std::size_t> by_key_;
  std::unordered_map<std::uint64_t, wire> wires_;
  std::unordered_map<std::uint64_t, actors::signed_update> checked_;
  std::unordered_map<std::uint64_t, actors::kept_advert> kept_; ///< of all cores
  crowd_watch watch_;
  std::vector<actors::signed_update> recorded_; ///< adverts that a villain keeps
  crowd_phase* phase_{nullptr};
  bool apart_{false};
  bool churning_{false};
  double goings_{0};
  std::uint64_t digest_{0};
  std::vector<std::string> violations_;
};

} // namespace ovir::swarm
