#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// Mends a running path that lost nodes. Pure: the lead hands in what it knows of the nodes.
/// docs/adr/0009-paths.md says why a repair is not a new plan.
namespace ovir::actors {

struct repair_node {
  bool usable{false}; ///< it is there, takes work, and its stages of the path go on
  /// The layers whose weights it has: new stages lie within them. Absent: it can get any.
  std::optional<layer_range> holds;
  std::uint64_t memory_free{0};      ///< bytes for new stages; its present ones are not in it
  double decode_bytes_per_second{0}; ///< 0: not measured, taken to be slower than all that were
  double rtt_seconds{0};
};

/// One stage of a running path.
struct path_place {
  std::uint32_t node{0}; ///< index into the nodes
  layer_range layers;

  friend bool operator==(const path_place&, const path_place&) = default;
};

/// One layer of the model, in bytes.
struct repair_layer {
  std::uint64_t needed{0};  ///< KV of the request and this layer's part of the buffers
  std::uint64_t weights{0}; ///< read per token
};

/// Keeps every stage whose node is usable, because its KV stays, and gives the layers of the others
/// to usable nodes within what these hold and have free. Of all such paths it takes one with the
/// fewest new stages; of these one with the fewest on nodes that compute another stage of the path;
/// of these the fastest, in seconds per token: weights by the node's speed, and its round trip.
///
/// `path` tiles all of `layers` in order. Absent when it cannot be done: then only a new plan, or
/// waiting, helps. Where the best repair gives no node two new stages, the time is that of nodes
/// times lost layers squared; else a search follows, and after limits::repair_states_max stages
/// tried the best repair found by then counts, if any.
[[nodiscard]] std::optional<std::vector<path_place>>
repair_path(std::span<const path_place> path, std::span<const repair_node> nodes,
            std::span<const repair_layer> layers);

/// Whether a session leaves a path that works for a better one: only for a speed-up of
/// limits::move_speedup_min. Both are seconds per token; a path that stands still takes infinitely
/// long. Numbers that are not positive move nobody.
[[nodiscard]] bool should_move(double current_seconds, double best_seconds) noexcept;

} // namespace ovir::actors
