#pragma once

#include "actors/path/planner.hpp"
#include "messages/digest.hpp"
#include "messages/ids.hpp"
#include "messages/node_id.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ovir::actors {

/// A model that nodes are to hold.
struct placeable_model {
  digest id;
  model_shape shape;
  std::uint32_t positions{1}; ///< promised to a request, at least 1: each stage has room for them
  std::uint32_t copies{2};    ///< of a layer, where memory allows; 1 to placement_copies_max
  bool wanted{true};          ///< otherwise all nodes drop it
};

/// What `placeable_model::positions` is for a model whose requests are promised so many.
[[nodiscard]] std::uint32_t placed_positions(std::uint32_t promised) noexcept;
/// How many of the model's first layers a node of this memory holds as placers count.
[[nodiscard]] std::uint32_t layers_that_fit(const placeable_model& model, std::uint64_t memory);

/// A member that is alive and not draining; what others hold counts for nothing.
struct placement_node {
  using holdings = std::map<digest, std::vector<layer_range>>;

  node_id node;
  std::uint64_t memory{0};     ///< bytes for the weights and requests of the models that are placed
  double speed{1};             ///< weight bytes per second as measured, above 0
  bool takes_orders{true};     ///< otherwise what it holds counts, and stays
  bool answers{true};          ///< otherwise no other node drops a copy because this one has it
  holdings held;               ///< ranges in order, apart from each other
  holdings coming;             ///< what it was told to fetch and does not hold yet
  holdings spares;             ///< on its disk beside what it holds
  holdings coming_spares;      ///< what it was told to fetch for its disk
  std::uint64_t spare_room{0}; ///< bytes of its disk for more of them
};

/// Why a node is told to fetch or drop layers.
enum class placement_reason {
  nobody_holds, ///< these layers
  no_path,      ///< although every layer is held: two are on the one node at places apart
  one_holds,    ///< so its death would leave them unheld
  demand,       ///< more copies are asked for
  one_disk,     ///< has them, and its death would leave no one to fetch them from
  room,         ///< for other layers
  not_asked,    ///< no request has come for the model for long
};
[[nodiscard]] std::string_view to_string(placement_reason reason);

enum class placement_act : std::uint8_t {
  fetch, ///< and hold
  drop,
  spare, ///< fetch for the disk alone
};
[[nodiscard]] std::string_view to_string(placement_act act);

struct placement_order {
  node_id node;
  digest model;
  layer_range layers; ///< [first, last)
  placement_act act{placement_act::fetch};
  placement_reason reason{placement_reason::nobody_holds};

  friend bool operator==(const placement_order&, const placement_order&) = default;
};

/// What a placement comes to for one model.
struct model_coverage {
  digest model;
  std::vector<std::uint32_t> copies; ///< by layer
  bool served{false};                ///< a path of distinct nodes leads over all layers
};

struct placement {
  std::vector<placement_node::holdings> held; ///< by node, in the order given
  std::vector<model_coverage> models;         ///< in the order given
  /// Those that may be given now, in this order: nothing is dropped that no other node holds, and
  /// nothing fetched for which there is no room yet. The others follow from later calls; spare
  /// copies are made after everything else.
  std::vector<placement_order> orders;
  std::size_t waiting{0}; ///< orders that wait for these
};

/// Who is to hold which layers. Every layer of a model is held before any is held twice, the models
/// in the order given; of two nodes that can take the same layers the one that computes them sooner
/// takes more of them. What is held stays unless its room is needed. A layer that only one node has
/// on its disk is fetched by another one as a spare copy. The same inputs give the same
/// placement, whatever the order of `nodes`, and a placement that was carried out needs no orders.
/// Time grows with nodes, layers and the stretches of layers that are to be placed.
[[nodiscard]] placement place(const std::vector<placeable_model>& models,
                              const std::vector<placement_node>& nodes);

} // namespace ovir::actors
