#pragma once

#include "compute/forward/segment.hpp"
#include "compute/model/transcript.hpp"
#include "compute/text/sampler.hpp"

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ovir::apps::bench {

/// One sequence that grows by prompts and drawn tokens, and can go back to where it was: a long
/// context is computed once and measured from again and again.
class bench_sequence {
public:
  /// Where a sequence was.
  struct mark {
    position at{0};
    compute::unit_digests units;
    std::size_t leaves{0};
    std::size_t digests{0};
    std::vector<float> logits;
  };

  /// `number` tells sequences apart: each has another prompt. `whole` must outlive it.
  [[nodiscard]] static result<bench_sequence> make(const compute::segment& whole,
                                                   std::uint32_t number, std::uint32_t positions,
                                                   std::size_t kv_bytes_max);

  /// Appends the next `count` ids of the prompt; they are evaluated by steps.
  void extend(std::uint32_t count);
  /// Draws the token after the last logits, and appends it.
  void draw();
  /// Digest of the last logits, which belong to the last position evaluated.
  void take_logits_digest();
  /// The next step: at most `chunk` ids that are not evaluated yet, logits after the last one.
  [[nodiscard]] compute::session_step next_step(std::uint32_t chunk);
  [[nodiscard]] bool has_next() const noexcept { return state_.kv.length() < ids_.size(); }
  /// Keeps what a step completed.
  void take_leaves();

  [[nodiscard]] mark here() const;
  void back_to(const mark& m);

  [[nodiscard]] position length() const noexcept { return state_.kv.length(); }
  [[nodiscard]] std::size_t kv_bytes() const noexcept { return state_.kv.bytes(); }
  /// Of keys and values, of one position.
  [[nodiscard]] std::size_t position_bytes() const noexcept {
    return state_.kv.bytes() / state_.kv.capacity();
  }
  /// Over all units, logits and ids so far (docs/formats/transcript.md).
  [[nodiscard]] result<digest> transcript() const;
  /// Over the digests of logits taken so far.
  [[nodiscard]] digest logits() const;

private:
  bench_sequence(compute::segment_state state, std::uint32_t vocabulary, std::uint32_t layers,
                 std::uint32_t number);

  compute::segment_state state_;
  std::uint32_t vocabulary_;
  std::uint32_t hashed_layers_;
  std::uint32_t number_;
  std::vector<token_id> ids_;
  std::vector<compute::unit_leaf> leaves_;
  std::vector<std::pair<position, digest>> digests_;
  compute::step_output out_;
  compute::sampler greedy_{{}};
};

} // namespace ovir::apps::bench
