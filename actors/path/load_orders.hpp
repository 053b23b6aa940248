#pragma once

#include "actors/path/planner.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"
#include "messages/result.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ovir::actors {

/// A member as whoever orders layers to be fetched sees it.
struct load_node {
  node_id node;
  std::string name;              ///< for people
  bool able{false};              ///< a worker that is there and may be asked
  std::vector<layer_range> held; ///< layers of the model that count: a path may lead over them
  std::uint64_t room{0};         ///< bytes free beside the weights it holds
  double speed{0};               ///< the higher, the sooner it is chosen
};

struct load_order {
  node_id node;
  layer_range layers; ///< [first, last)
};

/// Decides who fetches the layers that nobody holds, so that requests find a path, and remembers
/// what was ordered. Only missing layers are ordered: each stretch of them of one node, the fastest
/// with room for it, its share of a request and its buffers; of several where none has room for
/// all. Nothing at all where what is missing cannot be placed whole. Schedulers that see the same
/// members order the same. A value: knows no actor, clock or network.
class load_orders {
public:
  using time_point = std::chrono::steady_clock::time_point;

  /// What to order now, for a request of `positions` positions (at least 1); empty where all layers
  /// are held or ordered already. `over_limit`, naming layers and bytes, where no node has room;
  /// `busy` where limits::load_orders_max orders stand. `name`: of the model, for people.
  [[nodiscard]] result<std::vector<load_order>>
  plan(const digest& model, const std::string& name, const model_shape& shape,
       std::uint32_t positions, const std::vector<load_node>& nodes, time_point now);
  /// A node refused an order, or could not carry it out: others are asked.
  void failed(const node_id& node, const digest& model, std::string reason, time_point now);
  /// Whether this node has an order for layers of the model.
  [[nodiscard]] bool ordered(const node_id& node, const digest& model) const;
  [[nodiscard]] std::size_t standing() const noexcept { return given_.size(); }

private:
  struct given {
    node_id node;
    digest model;
    layer_range layers;
    std::uint64_t bytes{0};
    time_point until;
  };
  struct failure {
    time_point until;
    std::string reason;
  };

  void forget_old(const digest& model, const std::vector<load_node>& nodes, time_point now);
  [[nodiscard]] std::string failures(const digest& model,
                                     const std::vector<load_node>& nodes) const;

  std::vector<given> given_; ///< at most limits::load_orders_max
  std::map<std::pair<node_id, digest>, failure> failed_;
};

} // namespace ovir::actors
