#pragma once

#include "compute/forward/segment.hpp"
#include "compute/kernels/kernels.hpp"
#include "compute/model/model.hpp"
#include "compute/text/sampler.hpp"
#include "compute/text/token_matcher.hpp"
#include "compute/text/tokenizer.hpp"
#include "messages/ids.hpp"
#include "messages/request/params.hpp"
#include "messages/result.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

/// Guesses of what comes next, by a small model beside the lead. What they are changes the speed of
/// a request, and nothing else.
namespace ovir::actors {

class draft_run;

/// A small model that guesses for requests of another one with the same vocabulary. Shared by all
/// leads of that one. Any thread may open runs; passes are made one at a time, by the jobs of one
/// executor.
class draft_model {
public:
  /// All layers of `checked`, whose weights were checked. `invalid_argument` where a token of
  /// `target`, the vocabulary it is to guess for, is another one in `own`. `keeps`: what has the
  /// model and `own`.
  [[nodiscard]] static result<std::shared_ptr<draft_model>> make(const compute::model& checked,
                                                                 const compute::kernel_set& kernels,
                                                                 const compute::tokenizer& own,
                                                                 const compute::tokenizer& target,
                                                                 std::shared_ptr<const void> keeps);

  /// What it has of one request of at most `positions` positions; null where limits::draft_runs_max
  /// are open, or there is no memory. `sampling`: the request's.
  [[nodiscard]] static std::unique_ptr<draft_run> open(const std::shared_ptr<draft_model>& model,
                                                       std::uint32_t positions,
                                                       const sampling_params& sampling);

  /// Bytes of its weights.
  [[nodiscard]] std::uint64_t bytes() const noexcept { return segment_->weight_bytes(); }

private:
  friend class draft_run;
  draft_model(std::unique_ptr<compute::segment> layers, const compute::tokenizer& vocabulary,
              std::uint32_t tokens, std::shared_ptr<const void> keeps)
      : keeps_(std::move(keeps)), vocabulary_(vocabulary), tokens_(tokens),
        segment_(std::move(layers)) {}

  std::shared_ptr<const void> keeps_;
  const compute::tokenizer& vocabulary_; ///< its own, which says the same
  const std::uint32_t tokens_;           ///< of the target's
  std::unique_ptr<compute::segment> segment_;
  std::atomic<std::uint32_t> runs_{0};
};

/// A draft model's keys and values of one request. Only on the executor of its model.
class draft_run {
public:
  draft_run(const draft_run&) = delete;
  draft_run& operator=(const draft_run&) = delete;
  ~draft_run();

  /// Computes up to limits::draft_chunk positions that it lacks of `history` (prompt and output),
  /// which continues that of the call before. True: it lacks more.
  [[nodiscard]] bool prepare(std::span<const token_id> history, compute::parallel_runner& runner);
  /// It guesses nothing any more.
  [[nodiscard]] bool failed() const noexcept { return broken_; }
  /// Whether it lacks so little of this many tokens that it can guess what follows them.
  [[nodiscard]] bool is_ready(std::size_t tokens) const noexcept;
  /// Up to `count` tokens that may follow `history`, of which `output` were drawn: each drawn as
  /// the request draws, with the same chance, from this model's logits. Fewer, or none, where the
  /// context ends or a pass fails. Precondition: `is_ready`.
  [[nodiscard]] std::vector<token_id> guess(std::span<const token_id> history, std::size_t output,
                                            std::uint32_t count, compute::parallel_runner& runner);

private:
  friend class draft_model;
  draft_run(std::shared_ptr<draft_model> model, compute::segment_state state,
            const sampling_params& sampling, std::unique_ptr<compute::token_matcher> matcher);

  [[nodiscard]] bool compute_next(std::span<const token_id> history, bool wants_logits,
                                  compute::parallel_runner& runner);
  [[nodiscard]] bool draw(std::vector<token_id>& history, std::size_t output);

  std::shared_ptr<draft_model> model_;
  compute::segment_state state_;
  compute::sampler sampler_;
  std::unique_ptr<compute::token_matcher> matcher_; ///< null: all tokens may come
  compute::step_output step_;
  bool broken_{false};
};

} // namespace ovir::actors
