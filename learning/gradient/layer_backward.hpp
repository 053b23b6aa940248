#pragma once

#include "compute/base/parallel.hpp"
#include "learning/adapter/adapter.hpp"
#include "learning/gradient/attention_back.hpp"
#include "learning/gradient/frozen_model.hpp"
#include "learning/gradient/layer_tape.hpp"
#include "learning/gradient/weight_back.hpp"
#include "messages/result.hpp"

#include <atomic>
#include <span>
#include <vector>

namespace ovir::learning {

/// One layer's backward pass, in the order of learn-1. Keeps scratch memory from call to call; one
/// call at a time. What it is given must outlive it.
class layer_backward {
public:
  layer_backward(const frozen_model& frozen, const adapter& beside)
      : frozen_(frozen), adapter_(beside), weights_(*frozen.learn, beside.rank, beside.scale()),
        attention_(frozen) {}

  /// Turns dx [rows][dim], the gradient of the stream behind the layer, into that before it, and
  /// adds the pairs' gradients to `into`. Where `lowest`, nothing below asks for dx, which is then
  /// unspecified. `nonfinite` names the layer.
  [[nodiscard]] result<void> run(layer_index layer, std::span<const sequence> sequences,
                                 const layer_tape& tape, float* dx, std::size_t rows, bool lowest,
                                 lora_numbers& into, compute::parallel_runner& runner);

private:
  struct call {
    layer_index layer;
    std::span<const sequence> sequences;
    const layer_tape& tape;
    float* dx;
    std::size_t rows;
    bool lowest;
    lora_numbers& into;
    compute::parallel_runner& runner;
    std::atomic<bool>& ok;
  };

  void feed_forward(const call& c);
  void attention(const call& c);
  void norms_back(const call& c);
  void product(const call& c, target_place place, const float* dy, const float* x, float* dx);
  void add_norm_back(const call& c, const float* x, const compute::weight& norm);

  const frozen_model& frozen_;
  const adapter& adapter_;
  weight_back weights_;
  attention_back attention_;
  std::vector<float> hidden_; ///< [rows][dim]
  std::vector<float> gate_;   ///< [rows][ffn_dim]
  std::vector<float> up_;     ///< likewise
  std::vector<float> heads_;  ///< [rows][q_dim]
  std::vector<float> q_;      ///< likewise
  std::vector<float> k_;      ///< [rows][kv_dim]
  std::vector<float> v_;      ///< likewise
};

} // namespace ovir::learning
