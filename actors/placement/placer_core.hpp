#pragma once

#include "actors/members/member_table.hpp"
#include "actors/placement/placement.hpp"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace ovir::actors {

/// A model as the schedulers know it.
struct known_model {
  digest id;
  model_shape shape;
  std::uint32_t positions{1}; ///< promised to a request
};

/// Which of the schedulers places the model: the same for all who see the same members, and
/// another one for another model. Empty: there is no scheduler. `members` as they are alive.
[[nodiscard]] node_id placer_of(const digest& model, const std::vector<member>& members);

/// When a placer gives which orders: it counts a node that went for a while yet, makes second
/// copies only while no node comes or goes, keeps to what is under way, repeats what is still
/// right, and leaves nodes that refused alone for a time. A value: knows no actor, clock or
/// network.
class placer_core {
public:
  using time_point = std::chrono::steady_clock::time_point;

  explicit placer_core(node_id self) : self_(self) {}

  /// A client asked for the model, here or at another scheduler.
  void asked(const digest& model, time_point now);
  /// A node refused an order, or could not carry it out. False: none of those under way.
  bool failed(const node_id& node, const digest& model, time_point now);

  /// What there is to place on.
  struct surroundings {
    const std::vector<member>* members{nullptr};     ///< by key; not null
    const std::vector<known_model>* models{nullptr}; ///< by id; not null
    std::function<bool(const node_id&)> is_linked;   ///< orders reach it
    std::function<double(const node_id&)> trust;     ///< by what its speed is multiplied
  };
  /// The orders to give now, of the models that this node places.
  [[nodiscard]] std::vector<placement_order> tick(const surroundings& around, time_point now);

  /// What the last tick aimed at; nothing where this node places no model.
  [[nodiscard]] const placement& aim() const noexcept { return aim_; }
  /// The nodes of `aim().held`, in its order.
  [[nodiscard]] const std::vector<placement_node>& nodes() const noexcept { return nodes_; }
  [[nodiscard]] std::vector<placement_order> under_way() const;
  /// No node has come or gone for limits::placement_calm: second copies are made.
  [[nodiscard]] bool calm(time_point now) const;
  /// Whether this node is the model's placer, and has been for limits::placement_takeover.
  [[nodiscard]] bool places(const digest& model, time_point now) const;

private:
  struct given {
    placement_order order;
    time_point again; ///< it is repeated then
    time_point until; ///< it is void then
  };
  struct known_node {
    placement_node last;
    time_point seen;
  };

  void see(const surroundings& around, time_point now);
  void find_placers(const surroundings& around, time_point now);
  void forget_done(time_point now);
  [[nodiscard]] std::vector<placeable_model> wanted(const std::vector<known_model>& models,
                                                    time_point now);
  [[nodiscard]] bool still_right(const placement_order& order) const;
  [[nodiscard]] bool holds(const placement_order& order) const;

  node_id self_;
  std::map<node_id, known_node> seen_;
  std::optional<time_point> moved_; ///< when a node came or went last
  std::map<digest, time_point> asked_;
  std::map<digest, std::pair<node_id, time_point>> placers_; ///< and since when
  std::map<std::pair<node_id, digest>, time_point> failed_;  ///< until when
  std::vector<given> given_; ///< at most limits::placement_orders_max
  std::vector<placement_node> nodes_;
  placement aim_;
};

} // namespace ovir::actors
