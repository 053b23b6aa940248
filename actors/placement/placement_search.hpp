#pragma once

#include "actors/placement/placement_state.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace ovir::actors {

/// Works a placement out: model by model and copy by copy, the layers that lack one go to nodes
/// with room, then to nodes that make room by dropping what has more copies than it needs, then by
/// exchanges between two nodes. `nodes` in order of their keys; both outlive the search.
class placement_search {
public:
  placement_search(const std::vector<placeable_model>& models,
                   const std::vector<const placement_node*>& nodes);

  void run();
  [[nodiscard]] const placement_state& state() const noexcept { return state_; }
  /// Why the node is to hold this layer, which it did not hold before.
  [[nodiscard]] placement_reason reason(std::size_t node, std::size_t model,
                                        std::size_t layer) const {
    return reasons_[node][model][layer];
  }

private:
  /// Changes to what one node holds, by model.
  using changes = std::vector<std::pair<std::size_t, layer_marks>>;
  struct offer {
    std::size_t node{0};
    layer_range layers;
    changes what;
    double seconds{0}; ///< a layer takes on a token, with its share of the hop to the node
  };
  enum class may { take_room, drop };

  void drop_unwanted();
  /// A node that holds more than it has memory for can compute none of it.
  void make_fit(std::size_t node);
  /// Gives each layer so many copies where it can. False: some layers have fewer.
  bool fill(std::size_t model, std::uint32_t copies, bool only_room);
  void fill_first(std::size_t model);
  void make_path(std::size_t model);
  bool lay_out(std::size_t model);
  /// Gives some of these layers, which lack a copy, to a node.
  bool give(std::size_t model, layer_range run, placement_reason reason, bool only_room);
  void take(std::size_t model, const offer& chosen, placement_reason reason);

  [[nodiscard]] std::optional<offer> best_offer(std::size_t model, layer_range run,
                                                may allowed) const;
  void offer_part(std::size_t node, std::size_t model, layer_range part, may allowed,
                  std::optional<offer>& best) const;
  /// What the node would hold with these layers; none where they do not fit.
  [[nodiscard]] std::optional<changes> fitted(std::size_t node, std::size_t model, layer_range more,
                                              may allowed) const;
  [[nodiscard]] bool drop_one(std::size_t model, layer_range more,
                              std::vector<layer_marks>& marks) const;
  bool exchange(std::size_t model, std::uint32_t layer, placement_reason reason);
  bool exchange_over(std::size_t model, std::uint32_t layer, std::size_t from, std::size_t to,
                     placement_reason reason);

  const std::vector<placeable_model>& models_;
  const std::vector<const placement_node*>& nodes_;
  placement_state state_;
  std::vector<std::vector<layer_marks>> disks_; ///< [node][model]
  /// The layers from one on, or up to one, that fit on the node if it holds no others of the model.
  [[nodiscard]] std::uint32_t longest_from(std::size_t node, std::size_t model, std::uint32_t first,
                                           std::uint32_t last_max) const;
  [[nodiscard]] std::uint32_t longest_to(std::size_t node, std::size_t model,
                                         std::uint32_t last) const;
  struct layout {
    std::vector<std::pair<std::size_t, layer_range>> stages;
    std::uint64_t moved{0}; ///< weight bytes to be fetched
  };
  /// All layers end to end, the first ones on `first`, the last ones on `last`, the others on nodes
  /// in this order; none where they do not fit.
  [[nodiscard]] std::optional<layout> laid_out(std::size_t model, std::size_t first,
                                               std::size_t last,
                                               const std::vector<std::size_t>& order) const;

  std::vector<std::uint32_t> needed_; ///< by model: copies below which nothing is dropped
  std::vector<std::vector<std::vector<placement_reason>>> reasons_; ///< [node][model][layer]
};

} // namespace ovir::actors
