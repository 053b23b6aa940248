#pragma once

#include "compute/model/model.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// Cuts a model for the nodes at hand. Pure: no clock, no network, no measuring; the scheduler (or
/// `ovir plan`) hands in what was measured. docs/adr/0009-paths.md states the cost model and what
/// is exact.
namespace ovir::actors {

/// What the planner knows of a model, in bytes.
struct model_shape {
  std::vector<std::uint64_t> layer_weights; ///< per layer; 1 to limits::layers_max of them
  std::uint64_t kv_per_position{0};         ///< keys and values of one position of one layer
  std::uint64_t embedding{0};
  std::uint64_t head{0};          ///< output norm and output matrix
  bool tied_head{false};          ///< the output matrix is the embedding: held once where both are
  std::uint64_t boundary{0};      ///< one position between two stages
  std::uint64_t logits{0};        ///< one position from the last stage to the lead
  std::uint64_t stage_buffers{0}; ///< scratch of a stage, whatever its layers
};

/// Bytes of `model_shape::stage_buffers`. `prefill_chunk`: positions per step, for which a stage
/// has scratch.
[[nodiscard]] std::uint64_t stage_buffers(const compute::model_config& c,
                                          std::uint32_t prefill_chunk) noexcept;
[[nodiscard]] model_shape shape_of(const compute::model& m, std::uint32_t prefill_chunk);

/// Bytes for the KV of a stage on a node that has its weights in memory and so much of it free:
/// less what a stage needs for scratch and boundaries or logits, at least. `positions` of one
/// request.
[[nodiscard]] std::uint64_t stage_room(const model_shape& s, std::uint64_t memory,
                                       std::uint32_t positions) noexcept;

/// Weight bytes that a stage of these layers passes for one position, with the head behind the
/// last.
[[nodiscard]] std::uint64_t decode_bytes(const model_shape& s, layer_range layers) noexcept;

/// A machine and what was measured on it with all the threads it lends.
struct plan_node {
  std::string name;
  std::uint64_t memory{0}; ///< bytes OVIR may use; a hard limit
  /// The layers whose weights the machine has (with layer 0 the embedding, with the last one norm
  /// and head): its stage is any range of them. Absent: it can get any layers.
  std::optional<layer_range> holds{};
  /// The weights of `holds` are in memory already: `memory` is what is free beside them, for KV and
  /// buffers. Only with `holds`.
  bool loaded{false};
  double decode_bytes_per_second{0};  ///< weight bytes passed per second, one position at a time
  double prefill_bytes_per_second{0}; ///< weight bytes times positions per second, in chunks
  double rtt_seconds{0};              ///< round trip between it and the middle of the network
  double bandwidth_bytes_per_second{0};
};

/// Two nodes whose connection differs from what their own numbers say. Both directions alike.
struct plan_link {
  std::uint32_t a{0};
  std::uint32_t b{0};
  double rtt_seconds{0};
  double bandwidth_bytes_per_second{0};
};

enum class plan_objective : std::uint8_t {
  interactive, ///< least time per token of one request
  batch,       ///< most tokens per second of all requests together
};

struct plan_request {
  model_shape shape;
  std::vector<plan_node> nodes; ///< 1 to limits::path_nodes_max, names distinct
  std::vector<plan_link> links;
  /// The node the lead runs on; absent: on none of these.
  std::optional<std::uint32_t> lead;
  double lead_rtt_seconds{0}; ///< of a lead on none of the nodes, to the middle
  std::uint32_t context{0};   ///< positions promised to each request, at least 1
  std::uint32_t requests{1};  ///< at once, at least 1
  plan_objective objective{plan_objective::interactive};
  /// Stages the search may try; 0: limits::plan_states_max.
  std::uint64_t states_max{0};
};

struct plan_stage {
  std::uint32_t node{0};
  layer_range layers;
  std::uint64_t weights{0}; ///< bytes, embedding and head included
  std::uint64_t kv{0};      ///< bytes, of all requests at their promised context
  std::uint64_t buffers{0}; ///< bytes: scratch, and the boundaries kept for replay
  double decode_seconds{0}; ///< per token

  [[nodiscard]] std::uint64_t memory() const noexcept { return weights + kv + buffers; }
};

struct plan_speed {
  double token_seconds{0};              ///< from a token to the next one of the same request
  double slowest_seconds{0};            ///< the busiest stage or link, per token
  double tokens_per_second{0};          ///< of one request alone
  double tokens_per_second_together{0}; ///< of `requests` at once
  double prefill_per_second{0};         ///< positions, by the slowest stage
};

struct plan {
  std::vector<plan_stage> stages; ///< in order; together they hold every layer once
  plan_speed speed;
  /// The best single machine, when any holds the model: alone or not, it is worth comparing.
  std::optional<plan_speed> alone;
  std::uint32_t alone_node{0};
  /// No path is better than this plan by more than this share (0.01: 1 %); 0: proven best.
  double gap{0};
  std::uint64_t states{0}; ///< stages the search tried
  std::string why;         ///< sentences for a person
};

/// `segment_missing` when layers are held by no node, naming the first of them; `over_limit` when
/// the model does not fit, naming the shortfall in MiB; `invalid_argument` for numbers outside
/// their range.
[[nodiscard]] result<plan> make_plan(const plan_request& request);

} // namespace ovir::actors
