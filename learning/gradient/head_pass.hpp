#pragma once

#include "compute/base/parallel.hpp"
#include "compute/forward/products.hpp"
#include "learning/gradient/frozen_model.hpp"
#include "learning/gradient/weight_back.hpp"
#include "messages/ids.hpp"
#include "messages/result.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace ovir::learning {

/// A row of the stream whose next token counts.
struct counted_row {
  std::uint32_t row;
  token_id next;
};

/// The model's final norm and head, and the cross-entropy of what they predict. Keeps scratch
/// memory; one call at a time.
class head_pass {
public:
  explicit head_pass(const frozen_model& frozen) : frozen_(frozen), weights_(*frozen.learn, 0, 0) {}

  /// The loss of each of `wanted` in nats, in their order. Where `dx` is not null, the rows of the
  /// gradient of their sum are written there, [rows][dim]; rows that do not count are left alone.
  /// `nonfinite` where a logit is a NaN or an infinity.
  [[nodiscard]] result<std::vector<double>> run(std::span<const float> x,
                                                std::span<const counted_row> wanted, float* dx,
                                                compute::parallel_runner& runner);

private:
  [[nodiscard]] result<void> some(std::span<const float> x, std::span<const counted_row> wanted,
                                  double* losses, float* dx, compute::parallel_runner& runner);

  const frozen_model& frozen_;
  weight_back weights_;
  compute::activations hidden_;
  std::vector<float> logits_;   ///< [rows at once][vocabulary]
  std::vector<float> d_hidden_; ///< [rows at once][dim]
};

} // namespace ovir::learning
