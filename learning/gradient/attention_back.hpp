#pragma once

#include "compute/base/parallel.hpp"
#include "learning/gradient/frozen_model.hpp"
#include "learning/gradient/layer_tape.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace ovir::learning {

/// Gradients of queries, keys and values, all before the rotation: [rows][q_dim or kv_dim].
struct attention_gradients {
  float* q;
  float* k;
  float* v;
};

/// Attention's backward pass over whole examples. Keeps scratch memory; one call at a time.
class attention_back {
public:
  explicit attention_back(const frozen_model& frozen) : frozen_(frozen) {}

  /// `d` [rows][q_dim] is the gradient of the heads' outputs. Precondition: the rope table has rows
  /// for all positions.
  void run(layer_index layer, std::span<const sequence> sequences, const layer_tape& tape,
           const float* d, const attention_gradients& out, compute::parallel_runner& runner);

private:
  struct part_scratch {
    std::vector<float> k;       ///< [positions][head_dim]
    std::vector<float> v;       ///< likewise
    std::vector<float> dk;      ///< likewise
    std::vector<float> dv;      ///< likewise
    std::vector<float> weights; ///< [chunk_terms][positions]
    std::vector<float> scores;  ///< likewise, gradients of scores
    std::vector<float> turns;   ///< [rope_dim / 2][2], cos and -sin
  };
  struct task {
    const sequence& rows;
    std::uint32_t kv_head;
    std::uint32_t window;
    const layer_tape& tape;
    const float* d;
    const attention_gradients& out;
  };

  void head_pair(const task& t, part_scratch& s) const;
  void queries(const task& t, part_scratch& s, std::uint32_t head, std::uint32_t first,
               std::uint32_t count) const;
  void turn_back(position p, std::uint32_t heads, float* x, part_scratch& s) const;

  const frozen_model& frozen_;
  std::vector<part_scratch> parts_;
};

} // namespace ovir::learning
