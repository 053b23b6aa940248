#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/kv_cache.hpp"
#include "compute/forward/layer_step.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/parts/crossing.hpp"
#include "compute/parts/model_part.hpp"
#include "compute/parts/segment_cut.hpp"
#include "messages/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace ovir::compute {

/// Why a member's pass does not go on by itself.
enum class part_stop : std::uint8_t {
  exchange, ///< the others need `outgoing`, and this one theirs
  layer,    ///< a layer ended: `stream` is the boundary behind it
  done,     ///< of all layers, or no session is left
};

/// One member of a group at work: its part of a segment's weights, and the steps of a pass between
/// which something crosses. All members take the same steps on the same residual stream, so each
/// has the boundary, and every session fails for all of them alike, with the words that one alone
/// would say. One pass at a time, by one thread at a time. The model's file must outlive it.
///
///     part.begin(sessions, rows, stream);
///     for (auto stop = part.advance(runner); stop != part_stop::done; stop = part.advance(runner))
///     {
///       if (stop == part_stop::exchange) { send(part.outgoing()); part.take(all of them); }
///     }
class segment_part {
public:
  /// Checks the part's weights. Errors are those of `check_cut` and `check_weights`. `pack`: for
  /// the fast kernels, in memory of its own.
  [[nodiscard]] static result<std::unique_ptr<segment_part>>
  make(const model& whole, const segment_cut& cut, std::uint32_t member, const kernel_set& kernels,
       parallel_runner& runner, bool pack = false);

  [[nodiscard]] const segment_cut& cut() const noexcept { return cut_; }
  [[nodiscard]] const model_config& config() const noexcept { return whole_config_; }
  [[nodiscard]] const member_part& mine() const noexcept { return cut_.members[member_]; }
  /// Bytes of weights that a pass reads for its layers.
  [[nodiscard]] std::uint64_t layer_bytes() const noexcept;

  /// K and V of the part's heads; empty where it has none. `over_limit` as `kv_cache::make`.
  [[nodiscard]] result<std::optional<kv_cache>> open(std::uint32_t positions,
                                                     std::size_t kv_bytes_max) const;

  /// Begins a pass over `stream` [rows][dim], the boundary before the segment. `kv` of a session is
  /// what `open` made, or null where the part has no heads; positions before `first` are valid.
  void begin(std::span<const session_rows> sessions, std::uint32_t rows,
             std::span<const float> stream);
  /// Computes up to the next stop. Precondition: after `exchange`, `take` accepted what crossed.
  [[nodiscard]] part_stop advance(parallel_runner& runner);

  [[nodiscard]] const crossing_place& place() const noexcept { return place_; }
  /// Of the activations at `place`.
  [[nodiscard]] activation_form form() const;
  /// After `exchange`: what this member sends to every other.
  [[nodiscard]] std::span<const std::byte> outgoing() const noexcept { return outgoing_; }
  /// Takes what all members sent at `place`, in their order, this one's included. `malformed`,
  /// which names the member: nothing of the pass is of use then.
  [[nodiscard]] result<void> take(std::span<const std::span<const std::byte>> all);

  /// [rows][dim].
  [[nodiscard]] std::span<const float> stream() const noexcept {
    return {x_.data(), std::size_t{rows_} * config_.dim};
  }
  [[nodiscard]] std::span<const session_rows> sessions() const noexcept { return sessions_; }

  /// The part's rows of the head for `sources`, rows of the last layer's output: [sources][words].
  /// Precondition: the model's last segment.
  /// `ok` [sources] becomes 0 for those that are not finite.
  void head(std::span<const float* const> sources, parallel_runner& runner, std::vector<float>& out,
            std::span<std::uint8_t> ok);

private:
  /// What the next call of `advance` does.
  enum class step : std::uint8_t {
    begin_layer,
    norm_queries,
    after_maxima,
    after_floats,
    after_quantised,
    after_output,
    end_layer,
    done
  };

  segment_part(model_part part, segment_cut cut, std::uint32_t member, const kernel_set& kernels);
  [[nodiscard]] layer_step bound();
  [[nodiscard]] bool is_attention() const { return place_.block == layer_block::attention; }
  [[nodiscard]] bool is_mixture() const {
    return !is_attention() && !part_.weights.layers[place_.layer].experts.empty();
  }
  [[nodiscard]] const block_cut& how() const;
  [[nodiscard]] const weight& output() const;
  [[nodiscard]] activations& own() { return is_attention() ? scratch_.heads : scratch_.inner; }
  [[nodiscard]] const quantized_batch& own_integers();
  [[nodiscard]] std::uint32_t own_columns() const;
  [[nodiscard]] part_range columns_of(std::uint32_t member) const;
  [[nodiscard]] std::uint32_t all_columns() const;
  [[nodiscard]] bool sends_floats() const;
  [[nodiscard]] bool is_failed(std::size_t row) const;
  [[nodiscard]] bool fail_by_states();
  [[nodiscard]] bool check_activations();

  part_stop send(crossing_kind kind, step next);
  part_stop end_pass();
  part_stop begin_layer(parallel_runner& runner);
  part_stop norm_queries(parallel_runner& runner);
  part_stop compute_heads(parallel_runner& runner);
  part_stop send_activations(parallel_runner& runner);
  part_stop after_maxima(parallel_runner& runner);
  part_stop after_floats(parallel_runner& runner);
  part_stop send_rows(parallel_runner& runner);
  part_stop send_experts(parallel_runner& runner);
  part_stop after_experts(parallel_runner& runner);
  part_stop send_sums(parallel_runner& runner);
  part_stop after_output(parallel_runner& runner);

  void shape_own();
  void shape_taken();
  [[nodiscard]] result<void> take_from(std::uint32_t member, std::span<const std::byte> bytes);
  [[nodiscard]] result<void> take_queries_keys(std::uint32_t member,
                                               std::span<const std::byte> bytes);
  [[nodiscard]] result<void> take_floats(std::uint32_t member, std::span<const std::byte> bytes);
  void round_totals();

  segment_cut cut_;
  std::uint32_t member_;
  const kernel_set& kernels_;
  model_config whole_config_;
  model_config config_; ///< with the part's heads and feed-forward rows
  model_part part_;
  /// Of queries and keys, of layers that norm them over all heads: there the part has none.
  std::vector<std::array<weight, 2>> norms_;
  rope_table rope_;
  rope_table window_rope_;

  // Of a pass
  std::vector<session_rows> sessions_;
  std::uint32_t rows_{0};
  std::vector<float> x_; ///< [rows][dim]
  step_scratch scratch_;
  activations whole_; ///< of all members
  joined_rows joined_;
  std::vector<float> queries_keys_; ///< of all members: [rows][q], then [rows][k]
  std::vector<float> output_rows_;  ///< [rows][own rows]
  std::vector<float> experts_own_;  ///< [rows][experts of a row][own inner]
  std::vector<float> experts_all_;  ///< likewise, of all members
  quantized_batch own_batch_;       ///< own activations without the block behind them
  std::vector<std::int64_t> sums_;  ///< [rows][dim]
  std::vector<int128> totals_;      ///< likewise, of all members

  step next_{step::done};
  crossing_place place_;
  std::vector<std::byte> outgoing_;
};

} // namespace ovir::compute
