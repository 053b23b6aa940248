#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/evidence/audit.hpp"
#include "messages/evidence/receipt.hpp"
#include "messages/result.hpp"
#include "verify/receipt_replay.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

/// An audit of one window of one stage: it is computed again from what its statement names as its
/// inputs, in one pass over at most 32 positions, with no other layers of the model than the
/// stage's. Precondition of all functions here: `check_receipt` found nothing.
namespace ovir::compute {

/// A window of a stage: what an audit computes again at a time.
struct stage_window {
  std::size_t stage{0}; ///< index in the receipt
  std::uint32_t window{0};

  friend bool operator==(const stage_window&, const stage_window&) = default;
  friend auto operator<=>(const stage_window&, const stage_window&) = default;
};

/// Where a place lies; nothing where the receipt states no such thing.
[[nodiscard]] std::optional<stage_window> window_of(const receipt& r, const audit_place& place);

/// One thing that a window was computed from, named by the digest that is stated of it.
struct window_input {
  audit_part part{audit_part::unit}; ///< the boundary after `unit`, or `kv`: its K and V
  unit_name unit;
  std::uint32_t positions{0};
  digest name;
  std::size_t bytes{0};

  /// Whether `what` is this: size and digest. Its numbers need not be finite.
  [[nodiscard]] bool is(std::span<const std::byte> what) const;

  friend bool operator==(const window_input&, const window_input&) = default;
};
using input_bytes = std::shared_ptr<const std::vector<std::byte>>;

/// What the window was computed from. First the boundary before the stage's first layer: rows as
/// binary32, [positions][dim]; not of the model's first layer, whose tokens are in the receipt.
/// Then of each earlier window, in order, for each layer of the stage its K and V (`kv_bytes`).
/// Empty where the receipt has no such window.
[[nodiscard]] std::vector<window_input> inputs_of(const receipt& r, const model_config& config,
                                                  const stage_window& at);

/// A window before it is computed.
struct window_start {
  segment_state state;         ///< K and V of the windows before
  std::vector<float> boundary; ///< [count][dim], what comes in; empty where the model begins
  position first{0};
  std::uint32_t count{0};
};
/// `inputs` as `replay_window` takes them, for a segment of the stage's layers. Errors are those of
/// `replay_window`.
[[nodiscard]] result<window_start> start_window(const receipt& r, const stage_window& at,
                                                const segment& layers,
                                                std::span<const input_bytes> inputs);

/// Computes the window again from `inputs`, which are as `inputs_of` lists them. The outcome holds
/// what the stage states of this window alone: units, K and V, and where it ends the model draws
/// and tokens; its bounds are empty, because it reaches nothing by itself (`first_faults`).
/// Errors: `digest_mismatch` where an input is not what the receipt names; `malformed` where it is,
/// and holds a NaN or infinity; `nonfinite` where one arises; `invalid_argument` where receipt,
/// window, model and the number of inputs do not fit each other. Precondition: `check_weights`
/// accepted the stage's layers of `m`.
[[nodiscard]] result<replay_outcome>
replay_window(const receipt& r, const stage_window& at, const model& m,
              std::span<const input_bytes> inputs, const kernel_set& kernels,
              parallel_runner& runner, const tokenizer* vocabulary = nullptr);

/// All that is stated of the window, in the order in which it is looked at.
[[nodiscard]] std::vector<audit_place> places_of(const receipt& r, const stage_window& at);

/// The first thing in the window of which its statement says something else than `again`: in order
/// of layers, of each its output, then its K and V; then in order of positions, of each its logits,
/// then the token behind them. Its signer answers for it: the author of a unit that is cited. What
/// comes behind it in the window may follow from it.
[[nodiscard]] std::optional<stated_fault> window_fault(const receipt& r, const stage_window& at,
                                                       const replay_outcome& again);

} // namespace ovir::compute
