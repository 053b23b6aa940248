#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/products.hpp"
#include "learning/adapter/adapter.hpp"
#include "learning/gradient/frozen_model.hpp"
#include "learning/gradient/layer_tape.hpp"
#include "messages/result.hpp"

#include <atomic>
#include <span>
#include <vector>

namespace ovir::learning {

/// One layer of a model with an adapter over whole examples: exact-1 with the additions of learn-1.
/// Keeps scratch memory from call to call; one call at a time. What it is given must outlive it.
class layer_forward {
public:
  layer_forward(const frozen_model& frozen, const adapter& beside)
      : frozen_(frozen), adapter_(beside) {}

  /// Advances the stream x [rows][dim] and leaves on `tape` what `layer_backward` needs.
  /// `nonfinite` names the layer.
  [[nodiscard]] result<void> run(layer_index layer, std::span<const sequence> sequences, float* x,
                                 std::size_t rows, layer_tape& tape,
                                 compute::parallel_runner& runner);

private:
  struct call {
    layer_index layer;
    std::span<const sequence> sequences;
    float* x;
    std::size_t rows;
    layer_tape& tape;
    compute::parallel_runner& runner;
    std::atomic<bool>& ok;
  };

  void attention(const call& c);
  void feed_forward(const call& c);
  void finish_row(const call& c, std::size_t row, position p);
  void attend(const call& c);
  void add_pair(const call& c, target_place place, const float* input, std::uint32_t cols, float* y,
                std::uint32_t out);
  void quantize(const call& c, compute::activations& a, std::size_t row) const;
  [[nodiscard]] const compute::layer_weights& weights(const call& c) const {
    return frozen_.weights->layers[c.layer];
  }

  const frozen_model& frozen_;
  const adapter& adapter_;
  compute::activations hidden_;
  compute::activations heads_;
  compute::activations inner_;
  std::vector<float> k_;                   ///< [two terms][rows][kv_dim]
  std::vector<float> v_;                   ///< likewise
  std::vector<float> residual_;            ///< [rows][dim]
  std::vector<float> pair_;                ///< [rows][out], what a pair adds
  std::vector<float> scores_;              ///< [parts][heads together][positions]
  std::vector<std::uint32_t> sequence_of_; ///< [rows]
};

} // namespace ovir::learning
