#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/kv_cache.hpp"
#include "compute/forward/layer_engine.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/model/transcript.hpp"
#include "messages/ids.hpp"
#include "messages/limits/general.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace ovir::compute {

/// cos and sin of every (position, pair), binary32, computed in binary64 by our own functions.
/// Rows are made on demand in blocks and never change. One per segment; not thread-safe while it
/// grows (a segment grows it before it goes parallel).
class rope_table {
public:
  rope_table() = default;
  /// Of all layers but those with a table of their own. `factors` [rope_dim / 2] divide the
  /// frequencies; empty: they do not.
  rope_table(const model_config& config, std::span<const float> factors);
  /// Of layers with a window, where they have a base of their own: neither factors nor scaling.
  [[nodiscard]] static rope_table of_windows(const model_config& config);
  /// Makes rows for positions < n.
  void grow(position n);
  /// [rope_dim / 2][2]: cos, sin. Precondition: grown beyond `p`.
  [[nodiscard]] const float* row(position p) const;

private:
  void scale(const model_config& config);

  std::vector<double> frequencies_;
  std::vector<float> rows_;
  float magnitude_{1}; ///< of cos and sin
  position made_{0};
};

/// Rows at the end of a state that were computed from guessed tokens. They are in its KV cache, but
/// in no leaf until it is known that the guess was right: their boundaries are kept here.
struct drafted_rows {
  std::uint32_t count{0};
  std::vector<float> boundaries; ///< [layers hashed][count][dim]
};

/// What one request keeps in one segment: its KV cache and the open leaves of its transcript.
/// Owned by the shard; one computation at a time.
struct segment_state {
  kv_cache kv;
  unit_digests units;
  drafted_rows drafts{};
  std::shared_ptr<engine_state> engine{}; ///< what the segment's engine keeps, if it has one
  /// The adapter that its positions are computed with: of this segment's model, bound to this
  /// model's shape. It is the same for all of them. Null: none.
  std::shared_ptr<const lora_weights> lora{};

  /// Positions that count: all computed, less the drafts.
  [[nodiscard]] position length() const noexcept { return kv.length() - drafts.count; }
  /// Counts the windows before `window`, whose K and V were copied in from blocks and whose leaves
  /// are those of the blocks. Precondition: no drafts, no window begun, none of this many yet.
  void resume_at(std::uint32_t window) {
    kv.set_length(window * limits::window_positions);
    units.skip_to(window);
  }
  /// None of the drafts was right.
  void drop_drafts() {
    kv.set_length(length());
    drafts.count = 0;
  }
};

/// Input of a step: `tokens` for the segment that holds the embedding, else `boundary`
/// [count][dim]. Positions are [first, first + count). `first` is the state's length, or up to as
/// many more as it has drafts: those before `first` count from then on, the others are dropped.
struct step_input {
  position first{0};
  std::uint32_t count{0};
  std::span<const token_id> tokens{};
  std::span<const float> boundary{};
  /// Rows whose logits are wanted: the last `logit_rows` of the step. Last segment only.
  std::uint32_t logit_rows{0};
  /// Rows at the end that are guesses: at most limits::draft_tokens_max, and not all.
  std::uint32_t drafts{0};
  /// Rows whose hidden state is wanted, instead of logits: as `logit_rows`.
  std::uint32_t hidden_rows{0};
};

/// Output of a step; vectors are reused from step to step.
struct step_output {
  std::vector<float> boundary;   ///< [count][dim]; empty for the last segment
  std::vector<float> logits;     ///< [logit_rows][vocabulary]; last segment only
  std::vector<float> hidden;     ///< [hidden_rows][dim], behind the final norm; likewise
  std::vector<unit_leaf> leaves; ///< units completed, in order of (window, layer); never by drafts
};

/// One session's step of a pass.
struct session_step {
  segment_state* state{nullptr}; ///< of no other step of the pass
  step_input in;
  step_output* out{nullptr};
  result<void> done{}; ///< what came of it
};

/// A layer range of a model bound for execution. Immutable after `make` but for its scratch memory;
/// one `forward` at a time. The model's file must outlive it.
class segment {
public:
  /// Checks the weights of the range (`check_weights`). `invalid_argument` for an empty or
  /// impossible range.
  [[nodiscard]] static result<std::unique_ptr<segment>>
  make(const model& m, layer_range layers, const kernel_set& kernels, parallel_runner& runner);

  /// The same without reading a weight, for a model of which `check_weights` accepted at least
  /// these layers already: cheap enough to do while a request waits.
  [[nodiscard]] static result<std::unique_ptr<segment>>
  make_checked(const model& checked, layer_range layers, const kernel_set& kernels);

  /// The same with layers computed by `engine`, which was made of these layers of this model. K and
  /// V are in the states' caches all the same, so such segments stand in for others and others for
  /// them. What the engine has no head for, `kernels` compute.
  [[nodiscard]] static result<std::unique_ptr<segment>>
  make_with(const model& checked, layer_range layers, const kernel_set& kernels,
            std::unique_ptr<layer_engine> engine);

  ~segment();
  segment(const segment&) = delete;
  segment& operator=(const segment&) = delete;

  [[nodiscard]] const model_config& config() const noexcept;
  [[nodiscard]] layer_range layers() const noexcept;
  [[nodiscard]] bool is_first() const noexcept;
  [[nodiscard]] bool is_last() const noexcept;
  /// Bytes of weights this segment reads for one token (the whole embedding not counted).
  [[nodiscard]] std::uint64_t weight_bytes() const noexcept;
  /// Of these, the bytes of its layers: all that a step without logits reads.
  [[nodiscard]] std::uint64_t layer_bytes() const noexcept;

  /// Whether states may have an adapter: not where an engine computes the layers.
  [[nodiscard]] bool takes_adapters() const noexcept;

  /// State for a request of at most `positions` positions, with the adapter of the model, if it has
  /// one.
  [[nodiscard]] result<segment_state> open(std::uint32_t positions, std::size_t kv_bytes_max) const;

  /// Computes one step and advances `state`. On error the state is as before the step but for KV
  /// beyond its length. `nonfinite` names the layer; `malformed` an input of the wrong shape or a
  /// token outside the vocabulary.
  [[nodiscard]] result<void> forward(segment_state& state, const step_input& in,
                                     parallel_runner& runner, step_output& out);

  /// Computes steps of several sessions in one pass over the weights. Each gets the bits and the
  /// `done` it would get alone, whatever becomes of the others. Precondition: at most
  /// limits::pass_sessions_max steps, of at most limits::prefill_chunk_max positions together.
  void forward(std::span<session_step> steps, parallel_runner& runner);

private:
  struct impl;
  explicit segment(std::unique_ptr<impl> parts);
  std::unique_ptr<impl> impl_;
};

} // namespace ovir::compute
