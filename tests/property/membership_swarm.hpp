#pragma once

#include "actors/members/membership_core.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <vector>

/// Membership cores connected by a network that can be cut, stopped and lied in, on a virtual
/// clock: the same seed gives the same run.
namespace ovir::actors {

using std::chrono::milliseconds;
using time_point = membership_core::time_point;

/// The secret key of the node with this index; other generations are strangers.
[[nodiscard]] secret_key swarm_key(std::uint64_t index);

class membership_swarm {
public:
  membership_swarm(std::uint64_t seed, std::size_t nodes);

  // What happens. Indices are 0 to nodes - 1.
  void start(std::size_t i);     ///< also again, as a new life with a higher incarnation
  void kill(std::size_t i);      ///< its links break at once, as a killed process's do
  void power_off(std::size_t i); ///< nobody is told; its links stay as they are
  void freeze(std::size_t i);
  void thaw(std::size_t i);
  void leave(std::size_t i);
  void advertise(std::size_t i);
  void break_link(std::size_t i, std::size_t j);
  enum class cut : std::uint8_t {
    broken, ///< links end, none comes up
    silent, ///< links stay, and what is sent waits for the end of the cut
  };
  void partition(const std::set<std::size_t>& side, cut kind);
  void cut_pair(std::size_t i, std::size_t j); ///< no link between these two
  void heal();
  /// From now on this node is `mind`: called with each message that reaches it, as (from, bytes),
  /// and every 25 ms with `from` itself and no bytes.
  using mind = std::function<void(std::size_t from, std::span<const std::byte>)>;
  void possess(std::size_t i, mind m);
  void send(std::size_t from, std::size_t to, std::vector<std::byte> bytes);

  /// From the next start of a node on, any key may be a member for it.
  void let_strangers_in() { strangers_allowed_ = true; }

  void run(milliseconds span);

  // What is seen.
  [[nodiscard]] std::size_t size() const noexcept { return nodes_.size(); }
  [[nodiscard]] bool running(std::size_t i) const { return nodes_[i].core != nullptr; }
  [[nodiscard]] bool honest(std::size_t i) const { return !nodes_[i].possessed; }
  [[nodiscard]] const membership_core& core(std::size_t i) const { return *nodes_[i].core; }
  [[nodiscard]] const secret_key& key(std::size_t i) const { return *nodes_[i].key; }
  [[nodiscard]] const node_id& id(std::size_t i) const { return nodes_[i].key->id(); }
  [[nodiscard]] time_point now() const noexcept { return now_; }
  [[nodiscard]] bool linked(std::size_t i, std::size_t j) const;
  /// As `i` sees `j`; nothing when it does not.
  [[nodiscard]] std::optional<member_health> health(std::size_t i, std::size_t j) const;
  /// Whether every running honest node sees `j` so.
  [[nodiscard]] bool everyone_sees(std::size_t j, member_health health) const;
  /// Whether running honest nodes hold exactly the running ones for alive, with the adverts they
  /// have. Empty, or what differs.
  [[nodiscard]] std::string disagreement() const;
  /// Broken laws: a ghost, a message above the bound, too many sends at once, gossip refused
  /// between honest nodes.
  [[nodiscard]] const std::vector<std::string>& violations() const noexcept { return violations_; }
  /// How often an honest node began to see an honest one so.
  [[nodiscard]] std::size_t seen(member_health health) const;
  [[nodiscard]] std::size_t sent() const noexcept { return sent_; }
  [[nodiscard]] std::size_t attempts() const noexcept { return attempts_; }
  [[nodiscard]] std::size_t refused() const noexcept { return refused_; }
  /// Connections wanted to nodes there are not.
  [[nodiscard]] std::size_t stranger_dials() const noexcept { return stranger_dials_; }

private:
  struct node {
    std::unique_ptr<secret_key> key;
    std::unique_ptr<membership_core> core;
    std::uint64_t life{0};
    std::uint64_t incarnation{0};
    bool frozen{false};
    bool left{false};
    bool possessed{false};
    mind hostile;
    std::vector<std::function<void()>> backlog; ///< while frozen
    std::map<node_id, std::uint64_t> buried;    ///< highest incarnation seen dead or gone
  };
  struct wire {
    bool up{false};
    bool connecting{false};
    std::uint64_t generation{0};
    std::optional<cut> cut_now;
    time_point last[2];                      ///< of delivery, per direction: in order
    std::vector<std::function<void()>> held; ///< during a silent cut
  };
  struct event {
    time_point at;
    std::uint64_t number;
    std::function<void()> act;
    bool operator<(const event& other) const {
      return at != other.at ? at > other.at : number > other.number;
    }
  };

  wire& between(std::size_t i, std::size_t j);
  [[nodiscard]] std::size_t index_of(const node_id& id) const;
  milliseconds delay();
  void at(time_point when, std::function<void()> act);
  /// Runs it when the node of this life does, later if it is frozen.
  void on_node(std::size_t i, std::uint64_t life, const std::function<void()>& act);
  void tick(std::size_t i, std::uint64_t life);
  void join(std::size_t i, std::uint64_t life);
  void connect(std::size_t i, std::size_t j);
  void end_link(std::size_t i, std::size_t j);
  void tell_link_down(std::size_t i, std::size_t j);
  void perform(std::size_t i, const membership_core::effects& effects, bool of_tick);
  void deliver(std::size_t from, std::size_t to, const std::vector<std::byte>& bytes);
  void watch(std::size_t i, const member_changed& change);
  node_advert fresh_advert(std::size_t i);

  std::mt19937_64 random_;
  time_point now_{std::chrono::hours{1}};
  std::uint64_t number_{0};
  std::priority_queue<event> events_;
  std::vector<node> nodes_;
  std::map<std::pair<std::size_t, std::size_t>, wire> wires_;
  std::vector<std::string> violations_;
  std::map<member_health, std::size_t> seen_;
  std::size_t sent_{0};
  std::size_t attempts_{0};
  std::size_t refused_{0};
  std::size_t stranger_dials_{0};
  bool strangers_allowed_{false};
  std::uint64_t adverts_{0};
};

} // namespace ovir::actors
