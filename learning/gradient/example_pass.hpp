#pragma once

#include "compute/base/parallel.hpp"
#include "learning/adapter/adapter.hpp"
#include "learning/gradient/example.hpp"
#include "learning/gradient/frozen_model.hpp"
#include "learning/gradient/head_pass.hpp"
#include "learning/gradient/layer_backward.hpp"
#include "learning/gradient/layer_forward.hpp"
#include "learning/gradient/pass_plan.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ovir::learning {

/// Examples forward and back through a frozen model with an adapter. Losses and gradients of an
/// example are the same bits in any company. Keeps scratch memory from pass to pass; one at a time.
/// `frozen` and `beside` must outlive it; the adapter's numbers may change between passes.
class example_pass {
public:
  example_pass(frozen_model& frozen, const adapter& beside, std::uint64_t bytes_max)
      : frozen_(frozen), adapter_(beside), bytes_max_(bytes_max), forward_(frozen, beside),
        backward_(frozen, beside), head_(frozen) {}

  /// The sum of the losses of each example's counted ids, in nats. `over_limit` where the pass
  /// takes too much memory, `nonfinite`, `malformed` for an id outside the vocabulary or an example
  /// that is longer than the model's context.
  [[nodiscard]] result<std::vector<double>> losses(std::span<const example* const> examples,
                                                   compute::parallel_runner& runner);

  /// The same, and the gradients of these sums by the adapter's numbers are added to `into`, in the
  /// order of the examples.
  [[nodiscard]] result<std::vector<double>> gradients(std::span<const example* const> examples,
                                                      lora_numbers& into,
                                                      compute::parallel_runner& runner);

private:
  [[nodiscard]] result<void> begin(std::span<const example* const> examples,
                                   compute::parallel_runner& runner);
  [[nodiscard]] result<void> ahead(compute::parallel_runner& runner);
  [[nodiscard]] result<std::vector<double>> end(std::span<const example* const> examples, float* dx,
                                                compute::parallel_runner& runner);
  [[nodiscard]] result<void> back(lora_numbers& into, compute::parallel_runner& runner);
  [[nodiscard]] result<void> back_again(layer_index first, layer_index last, lora_numbers& into,
                                        compute::parallel_runner& runner);
  [[nodiscard]] std::size_t stream_size() const { return rows_ * frozen_.config().dim; }
  [[nodiscard]] layer_index first_taped() const { return frozen_.config().layers - plan_.tapes; }

  frozen_model& frozen_;
  const adapter& adapter_;
  std::uint64_t bytes_max_;
  layer_forward forward_;
  layer_backward backward_;
  head_pass head_;
  // Of the current pass
  pass_plan plan_;
  std::vector<sequence> sequences_;
  std::size_t rows_{0};
  std::vector<float> x_;                     ///< [rows][dim]
  std::vector<float> dx_;                    ///< likewise
  std::vector<layer_tape> tapes_;            ///< of the last layers
  layer_tape scratch_;                       ///< of a layer whose tape is not kept
  std::vector<std::vector<float>> streams_;  ///< before every `stride`th layer
  std::vector<std::vector<float>> restored_; ///< before the layers of a group computed again
};

} // namespace ovir::learning
