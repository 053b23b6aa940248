#pragma once

#include "actors/request/generation_output.hpp"
#include "apps/compute_threads.hpp"
#include "compute/forward/segment.hpp"
#include "compute/model/transcript.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/request/request.hpp"
#include "messages/result.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ovir::bindings {

/// What a run is asked for and how it is computed. Only `terms` decide its bits.
struct generation_plan {
  request_terms terms; ///< prompt, sampling, stop and max_tokens count; the others are not read
  std::uint32_t stages{1};
  std::uint32_t threads{1};
  std::uint32_t prefill_chunk{64};
  bool keep_logits{false};     ///< of each position that a token was drawn from
  bool keep_boundaries{false}; ///< between the stages
};

/// One request computed step by step on the caller's thread and compute threads of its own: the
/// path of `ovir run` without actors, so without drafts, reuse and receipts, which change no bit.
/// One thread at a time, but for `cancel`.
class generation {
public:
  /// A token and the text that became complete with it. Without a token: a chunk of the prompt, or
  /// text that was held back when the run was cancelled.
  struct step {
    std::optional<token_id> token;
    std::string text;
  };

  /// `m`, with weights that `check_weights` accepted, and `vocabulary` outlive it. Errors name the
  /// parameter.
  [[nodiscard]] static result<std::unique_ptr<generation>>
  make(const compute::model& m, const compute::tokenizer& vocabulary,
       const compute::kernel_set& kernels, generation_plan plan);

  /// Computes the next chunk of the prompt or the next token. Precondition: not `is_over`. After an
  /// error the run is over and has no transcript.
  [[nodiscard]] result<step> next();
  /// The next step ends the run with what there is. Any thread.
  void cancel() noexcept { cancelled_.store(true); }

  [[nodiscard]] bool is_over() const noexcept { return over_; }
  [[nodiscard]] finish_reason reason() const noexcept { return output_.end_reason(); }
  [[nodiscard]] const std::string& text() const noexcept { return output_.text(); }
  [[nodiscard]] std::vector<token_id> tokens() const { return output_.tokens(); }
  [[nodiscard]] std::span<const token_id> prompt() const;
  [[nodiscard]] std::uint32_t positions() const noexcept { return length_; }
  /// The digest of all that was computed. An error where the run failed or is not over.
  [[nodiscard]] result<digest> transcript() const;
  [[nodiscard]] std::vector<compute::unit_leaf> leaves() const { return stated_.units(); }

  // Kept tensors; complete once the run is over.
  /// [positions drawn from][vocabulary], from position `prompt().size() - 1` on.
  [[nodiscard]] std::span<const float> logits() const noexcept { return logits_; }
  /// What each stage but the last put out: [positions][dim].
  [[nodiscard]] std::span<const std::vector<float>> boundaries() const noexcept {
    return boundaries_;
  }
  [[nodiscard]] std::vector<layer_range> cut() const;
  /// K and V of a layer. Null where the model has no such layer.
  [[nodiscard]] const compute::kv_cache* cache_of(layer_index layer) const noexcept;

private:
  struct stage {
    std::unique_ptr<compute::segment> segment;
    compute::segment_state state;
    compute::step_output out;
  };

  generation(const compute::model& m, const compute::tokenizer& vocabulary,
             actors::generation_request request, const generation_plan& plan);
  [[nodiscard]] result<void> open(const compute::model& m, const compute::kernel_set& kernels);
  [[nodiscard]] result<void> compute(std::uint32_t count, std::uint32_t rows);
  [[nodiscard]] result<step> advance();
  [[nodiscard]] result<void> conclude(step& last);

  generation_plan plan_;
  std::size_t prompt_;
  std::uint32_t layers_;
  std::uint32_t chunk_{1};
  actors::generation_output output_;
  compute::sampler sampler_;
  std::unique_ptr<compute::token_matcher> matcher_; ///< where not every token may come; else null
  apps::compute_threads runner_;
  std::vector<stage> stages_;
  compute::transcript stated_;
  std::vector<float> logits_;
  std::vector<std::vector<float>> boundaries_;
  std::optional<digest> root_;
  position length_{0};
  bool over_{false};
  std::atomic<bool> cancelled_{false};
};

} // namespace ovir::bindings
