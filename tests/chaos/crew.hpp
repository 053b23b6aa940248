#pragma once

#include "tests/chaos/client.hpp"
#include "tests/support/cluster/test_cluster.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace ovir::chaos {

/// Three schedulers, of which one computes too, and five workers of a model of `layers` layers (at
/// least 8), none of which holds half of it or more than half: every request takes at least two,
/// and whichever one node is taken, the others hold every layer.
[[nodiscard]] std::vector<test::cluster_node> crew_nodes(const std::string& model,
                                                         std::uint32_t layers);
/// The same nodes, whose schedulers say which layers the workers hold.
[[nodiscard]] std::vector<test::cluster_node> placed_crew_nodes(const std::string& model);

/// A request as its scheduler shows it.
struct job_view {
  std::string request;
  std::string state;
  std::size_t lead{0};
  std::vector<std::size_t> path;

  [[nodiscard]] bool needs(std::size_t node) const;
};

/// The nodes of a cluster as a drill sees them: who is there, who may be taken away, and when the
/// others come back. The thread of the drill alone uses it.
class crew {
public:
  /// `placed`: what workers hold is what the cluster says; else what they are configured with.
  crew(test::test_cluster& cluster, std::uint32_t layers, bool placed = false);

  /// They are members that work, as far as the last look could tell.
  [[nodiscard]] const std::set<std::size_t>& ready() const noexcept { return ready_; }
  /// Those started but not members yet.
  [[nodiscard]] std::vector<std::size_t> joining() const;
  /// Without this one, the nodes that are ready hold every layer and one of them is a scheduler.
  [[nodiscard]] bool can_lose(std::size_t node) const;

  void kill(std::size_t node, std::chrono::milliseconds back_in);
  void freeze(std::size_t node, std::chrono::milliseconds length);
  /// Cuts the network between these nodes and all others.
  void divide(std::set<std::size_t> side, std::chrono::milliseconds length);
  [[nodiscard]] bool divided() const noexcept { return heal_at_.has_value(); }
  /// Nothing will be restarted any more without `restore`.
  void restore(); ///< brings everybody back now

  /// Does what is due and looks who has joined. Cheap when nothing is.
  void look();
  [[nodiscard]] bool whole() const { return ready_.size() == cluster_.size(); }
  /// A node that ended although nobody killed it.
  [[nodiscard]] const std::vector<std::string>& fallen() const noexcept { return fallen_; }

  /// Requests of all schedulers that are ready.
  [[nodiscard]] std::vector<job_view> jobs() const;

private:
  void see_holdings();
  [[nodiscard]] bool has_joined(std::size_t node) const;
  [[nodiscard]] bool sees(std::size_t node, const std::set<std::size_t>& others) const;

  test::test_cluster& cluster_;
  std::uint32_t layers_;
  bool placed_;
  std::vector<std::set<std::uint32_t>> held_; ///< layers, of each node
  std::set<std::size_t> ready_;
  std::vector<std::optional<clock::time_point>> start_at_;
  std::vector<std::optional<clock::time_point>> thaw_at_;
  std::optional<clock::time_point> heal_at_;
  clock::time_point look_again_{};
  std::vector<std::string> fallen_;
};

} // namespace ovir::chaos
