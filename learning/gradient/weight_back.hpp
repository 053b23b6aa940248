#pragma once

#include "compute/base/parallel.hpp"
#include "compute/tensor/tensor.hpp"
#include "learning/adapter/adapter.hpp"
#include "learning/gradient/layer_tape.hpp"
#include "learning/kernels/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace ovir::learning {

/// A product y = W x + scale B (A x) of the forward pass, and the gradient of y.
struct product_back {
  const compute::weight* matrix;
  const float* dy;  ///< [rows][matrix->rows]
  const float* x;   ///< [rows][matrix->cols]
  const float* low; ///< [rows][rank], A x
  float* dx;        ///< [rows][matrix->cols], to add to; null: not asked for
};

/// Gradients of products with frozen weights and of the pairs beside them. Keeps scratch memory;
/// one call at a time.
class weight_back {
public:
  weight_back(const learn_kernels& kernels, std::uint32_t rank, float scale)
      : kernels_(kernels), rank_(rank), scale_(scale) {}

  /// dx += dy W, by chunks of 256 rows of W in ascending order.
  void add_frozen(const product_back& p, std::size_t rows, compute::parallel_runner& runner);

  /// What a pair adds to dx, behind `add_frozen`; and to its own gradient `into`, example by
  /// example and chunk by chunk.
  void add_pair(const product_back& p, std::span<const sequence> sequences, const lora_pair& pair,
                lora_pair& into, std::size_t rows, compute::parallel_runner& runner);

private:
  void back_to_low(const product_back& p, const lora_pair& pair, std::size_t rows,
                   compute::parallel_runner& runner);
  void decode(const compute::weight& w, std::uint32_t first, std::uint32_t count,
              compute::parallel_runner& runner);

  const learn_kernels& kernels_;
  std::uint32_t rank_;
  float scale_;
  std::vector<float> panels_;  ///< [cols / 32][chunk_terms][32], rows of W as binary32
  std::vector<float> decoded_; ///< [parts][cols]
  std::vector<float> d_low_;   ///< [rows][rank], scale dy B
  std::vector<float> low_;     ///< [rows][rank], scale A x
};

} // namespace ovir::learning
