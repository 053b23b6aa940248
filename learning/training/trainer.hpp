#pragma once

#include "compute/base/parallel.hpp"
#include "learning/adapter/adapter_file.hpp"
#include "learning/gradient/example.hpp"
#include "learning/gradient/example_pass.hpp"
#include "learning/training/settings.hpp"
#include "learning/training/state_file.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ovir::learning {

/// What changes speed and memory, and no bit.
struct trainer_room {
  std::uint64_t bytes_max{std::uint64_t{1536} << 20U}; ///< of a pass, beside model and adapter
  std::uint32_t pass_rows{1'024}; ///< positions of a pass, unless one example has more
};

/// A model and examples, and what they are called in an adapter's provenance.
struct training_data {
  std::vector<example> examples;
  std::vector<example> held_back;
  std::string base; ///< CID of the model's manifest
  std::string data; ///< CID of the file of examples
};

struct step_report {
  std::uint32_t step;   ///< from 0
  double loss;          ///< mean over the batch's counted tokens, in nats
  double norm;          ///< of the gradient, before it was clipped
  std::uint64_t tokens; ///< positions computed
};

/// Trains an adapter step by step. Threads, passes and memory change no bit of it; nor does going
/// on from a checkpoint. One call at a time.
class trainer {
public:
  /// `frozen` must outlive it. `invalid_argument`, `unsupported`, or `malformed` where there is no
  /// example or one in which nothing counts.
  [[nodiscard]] static result<std::unique_ptr<trainer>>
  make(frozen_model& frozen, const learn_settings& settings, training_data data, trainer_room room);

  /// Goes on from a checkpoint. `unsupported` where it is of another model, other examples or other
  /// settings; nothing changes then.
  [[nodiscard]] result<void> resume(training_state state);
  [[nodiscard]] training_state checkpoint() const;

  [[nodiscard]] std::uint32_t steps_done() const noexcept {
    return static_cast<std::uint32_t>(losses_.size());
  }
  [[nodiscard]] bool is_done() const noexcept { return steps_done() == settings_.steps; }
  [[nodiscard]] const std::vector<double>& losses() const noexcept { return losses_; }
  [[nodiscard]] const std::vector<evaluation>& evaluations() const noexcept { return evaluations_; }
  [[nodiscard]] const adapter& result_so_far() const noexcept { return adapter_; }
  [[nodiscard]] provenance where_from() const;

  /// The next step. Precondition: not `is_done`. After an error the adapter is as before the step.
  [[nodiscard]] result<step_report> step(compute::parallel_runner& runner);

  /// The mean loss of the examples held back, kept for this step. Precondition: there are some.
  [[nodiscard]] result<evaluation> evaluate(compute::parallel_runner& runner);

private:
  trainer(frozen_model& frozen, const learn_settings& settings, training_data data,
          trainer_room room, adapter fresh);

  [[nodiscard]] std::vector<const example*> batch();
  /// Stretches of `all` that fit into a pass each.
  template <class F>
  [[nodiscard]] result<void> in_passes(std::span<const example* const> all, const F& f);

  learn_settings settings_;
  training_data data_;
  trainer_room room_;
  adapter adapter_;
  moments kept_;
  lora_numbers gradient_;
  std::vector<double> losses_;
  std::vector<evaluation> evaluations_;
  example_pass pass_;
  std::optional<std::uint64_t> order_round_; ///< of `order_`
  std::vector<std::uint32_t> order_;
};

} // namespace ovir::learning
