#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <limits>
#include <vector>

namespace ovir::actors {

/// The planner's problem without names and units: cut layers [0, layers) into stages on distinct
/// nodes, in any order. docs/adr/0009-paths.md describes cost model and search.
///
/// A path costs the seconds of its stages and of the hops of the round
/// lead -> first node -> ... -> last node -> lead. All costs are finite and not negative.
struct path_problem {
  std::uint32_t layers{0};
  /// Sums over layers before l, [layers + 1]: bytes read per token.
  std::vector<std::uint64_t> read_before;
  std::uint64_t head_read{0}; ///< bytes the last stage reads besides its layers

  /// What a stage needs in memory, in bytes.
  struct footprint {
    std::vector<std::uint64_t> before; ///< sums over layers before l, [layers + 1]
    std::uint64_t first{0};            ///< of the first stage besides its layers ...
    std::uint64_t last{0};             ///< ... of the last ...
    std::uint64_t whole{0};            ///< ... of a stage that is both, instead of the former two
    std::uint64_t inner{0};            ///< ... and of a stage that is neither

    [[nodiscard]] std::uint64_t of(layer_range range) const;
  };
  footprint held;   ///< on a node that loads its stage
  footprint beside; ///< on a node that has its weights in memory: all the rest

  struct node {
    std::uint64_t memory{0}; ///< bytes, a hard limit
    /// A stage on this node lies within these layers.
    layer_range holds{0, std::numeric_limits<layer_index>::max()};
    bool loaded{false};         ///< `memory` is what is free beside the weights of `holds`
    double seconds_per_byte{0}; ///< positive
    double from_lead{0};        ///< seconds, lead to this node as the first stage
    double to_lead{0};          ///< seconds, from this node as the last stage to the lead
    double hub{0};              ///< its half of a usual hop, in seconds; only speeds the search
    double to_lead_busy{0};     ///< seconds the way back is occupied per token
  };
  std::vector<node> nodes;               ///< 1 to limits::path_nodes_max
  std::vector<std::vector<double>> hop;  ///< [from][to] seconds
  std::vector<std::vector<double>> busy; ///< [from][to] seconds the link is occupied per token

  [[nodiscard]] double stage_seconds(std::uint32_t on, layer_range range) const;
  /// Whether the node has these layers and memory for them.
  [[nodiscard]] bool fits(std::uint32_t on, layer_range range) const;
};

/// A stage of a path that was searched for.
struct searched_stage {
  std::uint32_t node{0};
  layer_range layers;
};

struct path_question {
  /// No stage and no link may be busy for longer than this per token, in seconds.
  double busy_max{std::numeric_limits<double>::infinity()};
  /// Only paths that cost less, in seconds, are of interest.
  double below{std::numeric_limits<double>::infinity()};
  /// Any path below `below` will do, instead of the cheapest.
  bool any{false};
  /// Stages tried, over all partial paths; a partial path more may be finished beyond it.
  std::uint64_t states_max{0};
};

struct path_answer {
  std::vector<searched_stage> path; ///< empty: none was found
  double seconds{std::numeric_limits<double>::infinity()};
  /// No path of interest costs less than this. Equals `seconds` when the search ended by itself.
  double bound{0};
  bool complete{false}; ///< the search ended by itself, not at `states_max`
  std::uint64_t states{0};
};

/// Best-first search with a lower bound. Pure: same question, same answer. Memory and time grow
/// with `states_max` only.
[[nodiscard]] path_answer search_path(const path_problem& problem, const path_question& question);

} // namespace ovir::actors
